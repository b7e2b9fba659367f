"""How a gated network uses its channels."""
