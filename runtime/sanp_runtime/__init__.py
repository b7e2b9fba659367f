"""Load a compiled bundle and run it: `engine = load("bundle"); result = engine(x)`."""

from sanp_runtime.engines.base import Engine, Result
from sanp_runtime.engines.load import load

__all__ = ["Engine", "Result", "load"]
