"""The table of a result file, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = ("network", "image", "gated", "follow", "share of MACs", "not gated", "M MACs", "largest relative error")


def markdown(rows: Mapping[str, Any]) -> str:
    """A line for each network; a network that is not right says why."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(name, row))} |" for name, row in rows.items())])


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    if "gated" not in row:
        return [name, str(row["size"]), *[""] * 5, f"**{row['result']}**: {row['why'][:160]}"]
    skipped = "; ".join(f"{count} {_short(reason)}" for reason, count in row["skipped"].items())
    macs = [f"{row[key] / 1e6:.2f}" for key in ("macs_tracker", "macs_graph")]
    error = f"{max(row['error_kernels'], row['error_plain']):.1e}"
    return [
        name,
        str(row["size"]),
        str(row["gated"]),
        str(row["followers"]),
        f"{row['gated_share']:.0%}",
        skipped or "none",
        macs[0] if macs[0] == macs[1] else f"{macs[0]} tracked, {macs[1]} in the graph",
        error if row["result"] == "right" else f"{error}, **{row['result']}**: {row['why'][:160]}",
    ]


def _short(reason: str) -> str:
    """A reason without what is in brackets, and without the character that divides cells."""
    return reason.split(" (", maxsplit=1)[0].replace("|", "or")
