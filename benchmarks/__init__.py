"""Benchmarks. Each script is a command: `python -m benchmarks.FOLDER.SCRIPT` from the root of the repository."""
