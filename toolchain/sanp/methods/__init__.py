"""Methods that make a network cheaper, one file each; `registry` knows their names."""
