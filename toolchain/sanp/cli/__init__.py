"""The command line: thin wrappers over ordinary functions. Results go to stdout, everything else to stderr."""
