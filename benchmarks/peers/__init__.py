"""Gated networks against other runtimes; run.py is the command, README.md says what it compares."""
