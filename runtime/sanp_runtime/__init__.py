"""Load a compiled bundle and run it: `engine = load("bundle"); result = engine(x)`."""

from sanp_runtime.engine import Engine, Result, load

__all__ = ["Engine", "Result", "load"]
