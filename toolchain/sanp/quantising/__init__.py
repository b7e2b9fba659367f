"""Training for bytes: a gated network that rounds as `sanp compile --int8` will."""
