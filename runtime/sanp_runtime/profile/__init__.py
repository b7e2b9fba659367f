"""The latency of the variants of a bundle, side by side."""
