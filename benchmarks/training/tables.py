"""Markdown tables from the result files, for docs/training.md.

python -m benchmarks.training.tables
python -m benchmarks.training.tables benchmarks/results/training/first-recipe
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.command_line import parser
from benchmarks.training.rows import RESULTS

Rows = list[dict[str, Any]]


def spread(values: list[float]) -> str:
    """Mean in percent, with the range when there is more than one value."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({100 * min(values):.1f} to {100 * max(values):.1f})"


def table(rows: Rows) -> str:
    """One line per method and budget, over the seeds."""
    groups: dict[tuple[str, float], Rows] = defaultdict(list)
    for row in rows:
        groups[row["label"], row["budget"]].append(row)
    lines = [
        "| gates | budget | seeds | cost, % of dense | accuracy, % | below its start, points | sample-dependent, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for (label, budget), group in sorted(groups.items(), key=lambda item: (item[0][0] != "sanp", item[0])):
        drop = [row["dense_accuracy"] - row["accuracy"] for row in group]
        cells = [spread([row["cost"] for row in group]), spread([row["accuracy"] for row in group])]
        cells += [spread(drop), spread([row["dynamic"] for row in group])]
        lines.append(f"| {label} | {100 * budget:.0f} | {len(group)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def paired(rows: Rows) -> str:
    """SANP minus each other method, seed by seed: same backbone at the start, same budget, same epochs."""
    sanp = {(row["budget"], row["seed"]): row["accuracy"] for row in rows if row["label"] == "sanp"}
    gaps: dict[tuple[str, float], list[float]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["seed"]):
        key = (row["budget"], row["seed"])
        if row["label"] != "sanp" and key in sanp:
            gaps[row["label"], row["budget"]].append(sanp[key] - row["accuracy"])
    lines = ["| SANP minus | budget | mean, points | seed by seed |", "|---|---|---|---|"]
    for (label, budget), values in sorted(gaps.items()):
        each = ", ".join(f"{100 * value:+.1f}" for value in values)
        lines.append(f"| {label} | {100 * budget:.0f} | {100 * statistics.mean(values):+.1f} | {each} |")
    return "\n".join(lines) if gaps else ""


def backbones(rows: Rows) -> str:
    """One line per network and data set of backbones.py."""
    lines = [
        "| network | data | dense, % | gated, % | cost, % | sample-dependent, % | L0 | L1 | L2 | joint / dense |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        verdicts = " | ".join("pass" if row[level] else "FAIL" for level in ("L0", "L1", "L2"))
        numbers = [100 * row[key] for key in ("dense_accuracy", "accuracy", "cost", "dynamic")]
        lines.append(
            f"| {row['model']} x{row['width']} | {row['dataset']} {row['image_size']} | "
            + " | ".join(f"{value:.1f}" for value in numbers)
            + f" | {verdicts} | {row['step_time']['ratio']:.2f} |"
        )
    return "\n".join(lines)


def step_times(rows: Rows) -> str:
    """One line per network of step_time.py."""
    lines = ["| network | image | dense step, ms | joint step, ms | ratio |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row['model']} x{row['width']} | {row['image_size']} | {row['dense_ms']:.1f} | "
            f"{row['joint_ms']:.1f} | {row['ratio']:.2f} |"
        )
    return "\n".join(lines)


def plain(rows: Rows) -> str:
    """One line per row of any other file: its numbers and words, without lists and dictionaries."""
    names = list(
        dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, list | dict))
    )
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in rows:
        cells = [row.get(name, "") for name in names]
        lines.append(
            "| " + " | ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables of every result file."""
    made = parser(__doc__)
    made.add_argument("folder", type=Path, nargs="?", default=RESULTS, help="folder of result files")
    for path in sorted(made.parse_args().folder.glob("*.json")):
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        if path.stem == "backbones":
            parts = [backbones(rows)]
        elif path.stem == "step-time":
            parts = [step_times(rows)]
        elif all("label" in row and "budget" in row for row in rows):
            parts = [table(rows), paired(rows)]
        else:
            parts = [plain(rows)]
        print(f"### {path.name}\n\n" + "\n\n".join(part for part in parts if part) + "\n")


if __name__ == "__main__":
    main()
