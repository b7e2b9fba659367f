"""Shared by all tests: reproducible seeds, one torch thread (two cores are all that CI has)."""
