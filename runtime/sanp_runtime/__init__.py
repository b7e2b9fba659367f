"""Load a compiled bundle and run it: `engine = load("bundle"); result = engine(x)`."""
