"""Markdown tables from the result files, for docs/training.md.

python benchmarks/training/tables.py
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def spread(values: list[float]) -> str:
    """Mean in percent, with the range when there is more than one value."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({100 * min(values):.1f} to {100 * max(values):.1f})"


def table(rows: list[dict[str, Any]]) -> str:
    """One line per policy and budget, over the seeds."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["label"], row["budget"]].append(row)
    lines = [
        "| gates | budget | seeds | cost, % of dense MACs | accuracy, % | below dense, points | sample-dependent, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for (label, budget), group in sorted(groups.items(), key=lambda item: (item[0][0] != "sanp", item[0])):
        drop = [row["dense_accuracy"] - row["accuracy"] for row in group]
        cells = [spread([row["cost"] for row in group]), spread([row["accuracy"] for row in group])]
        cells += [spread(drop), spread([row["dynamic"] for row in group])]
        lines.append(f"| {label} | {100 * budget:.0f} | {len(group)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print a table per result file."""
    for path in sorted(RESULTS.glob("pilot-*.json")):
        print(f"### {path.name}\n\n{table(json.loads(path.read_text(encoding='utf-8'))['rows'])}\n")
    timing = RESULTS / "step-time.json"
    if timing.exists():
        print("| network | image | dense step, ms | joint step, ms | ratio |\n|---|---|---|---|---|")
        for row in json.loads(timing.read_text(encoding="utf-8"))["rows"]:
            print(
                f"| {row['model']} x{row['width']} | {row['image_size']} | {row['dense_ms']:.1f} | "
                f"{row['joint_ms']:.1f} | {row['ratio']:.2f} |"
            )


if __name__ == "__main__":
    main()
