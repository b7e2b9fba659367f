"""Stage 6: Nsight Compute looks at the two kernels that are slowest against the dense layer; its text is kept.

Kernels of the layers that the goal counts come first.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu.place import Place
from benchmarks.gpu.stages.layers import TUNED_KEEP
from benchmarks.gpu.visit.entry import Skipped
from benchmarks.gpu.visit.goals import is_goal_layer
from benchmarks.gpu.visit.record import Record, read
from benchmarks.gpu.visit.tools import profile_metrics

COUNT = 2
SECONDS_EACH = 25.0


@dataclass(frozen=True)
class Slow:
    """A layer's best plan at half of both sides. ratio: its time over that of the fastest dense form."""

    layer: str
    conv: dict[str, Any]
    plan: dict[str, Any]
    ratio: float
    counts: bool  # for the goal


def run(place: Place, record: Record) -> None:
    """Skipped without ncu or without the results of stage 2."""
    stages = (read(place.output / f"{name}.json") for name in ("layers", "short_layers"))
    rows = next((stage["numbers"]["layers"] for stage in stages if stage and stage["numbers"].get("layers")), [])
    if not rows:
        raise Skipped("the stages of layers have no results to choose kernels from")
    for number, slow in enumerate(slowest(rows), 1):
        command = [sys.executable, "-m", "benchmarks.gpu.visit.one_launch", "--library", str(place.library_path)]
        command += ["--memory", place.memory, "--conv", json.dumps(slow.conv), "--plan", str(slow.plan["index"])]
        said = place.tool("ncu", command, min(SECONDS_EACH, record.seconds_left()), "ncu.txt")
        (place.output / f"profile-{number}.txt").write_text(said.text, encoding="utf-8")
        metrics = profile_metrics(said.text)
        record.append("profiles", {
            "layer": slow.layer, "ratio": slow.ratio, "plan": slow.plan, "kernels": metrics, "sample": said.sample,
            "returncode": said.returncode, "text": f"profile-{number}.txt",
        })  # fmt: skip
        if not metrics:
            raise RuntimeError(f"ncu printed no table: {said.text[-800:]}")


def slowest(rows: list[dict[str, Any]]) -> list[Slow]:
    """The largest ratios, layers of the goal before others, no kernel twice."""
    found: dict[tuple, Slow] = {}
    for row in rows:
        plans = row["plan_times"].get(str(TUNED_KEEP), [])
        if not plans or not row["best_dense_us"]:
            continue
        plan = min(plans, key=lambda one: one["us"])
        kernel = (row["element"], plan["algorithm"], plan["tile_m"], plan["tile_n"])
        ratio, counts = plan["us"] / row["best_dense_us"], is_goal_layer(row)
        slow = Slow(f"{row['layer']} {row['element']}", row["conv"], plan, ratio, counts)
        if kernel not in found or _order(slow) < _order(found[kernel]):
            found[kernel] = slow
    return sorted(found.values(), key=_order)[:COUNT]


def _order(slow: Slow) -> tuple[bool, float]:
    return not slow.counts, -slow.ratio
