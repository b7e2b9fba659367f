"""Load a compiled bundle and run it: `engine = load("bundle"); engine(x)`; `engine.bind(x)` is the fast call."""

from sanp_runtime.engines.base import Engine, Result
from sanp_runtime.engines.bound_call import BoundCall
from sanp_runtime.engines.load import load

__all__ = ["BoundCall", "Engine", "Result", "load"]
