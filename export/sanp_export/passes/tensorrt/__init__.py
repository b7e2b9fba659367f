"""Rewrites for TensorRT alone, each in a file of its name."""
