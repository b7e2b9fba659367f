"""Where output goes: results to stdout (JSON with --json), progress and remarks to stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

# Without a terminal rich assumes 80 columns and cuts tables; a pipe or a log file has no width.
_PIPE_WIDTH = 200

out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout, nothing else."""
    print(json.dumps(value, indent=2, allow_nan=False, default=str))


def table(title: str | None, columns: list[tuple[str, str]], rows: list[list[str]]) -> Table:
    """A plain table; columns are (heading, "left" or "right")."""
    result = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="bold")
    for heading, justify in columns:
        result.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    for row in rows:
        result.add_row(*row)
    return result


def step(text: str) -> None:
    """A remark about what happens now."""
    err.print(f"[bold cyan]>[/] {text}")
