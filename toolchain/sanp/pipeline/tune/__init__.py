"""Which algorithm of every layer is fastest on this machine."""
