"""Rewrites of the exported graph, one per file. Each takes a graph, changes it in place and returns how often."""
