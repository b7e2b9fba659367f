"""The commands of `python -m sanp_runtime`, one file each; argparse, because a board has no typer."""

from sanp_runtime.cli.app import main

__all__ = ["main"]
