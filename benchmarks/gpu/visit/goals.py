"""The goals of a first visit, computed from the results of its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

Contents = Mapping[str, Mapping[str, Any]]  # stage -> content of its file

LAYER_GOAL, NETWORK_GOAL, STEP_GOAL = 1.5, 1.3, 1.3
GOAL_BATCH, GOAL_KEEP, GOAL_CHANNELS = 8, 0.5, 128
MIXED = "bfloat16"


@dataclass(frozen=True)
class Goal:
    """One goal. value: what was measured, None if it was not; reached: None then, and in a rehearsal."""

    name: str
    wanted: str
    value: float | None
    reached: bool | None
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def goals(contents: Contents, rehearsal: bool) -> list[Goal]:
    """All of them. In a rehearsal the numbers are computed and not judged."""
    found = [make(contents) for make in (_layers, _networks, _steps)]
    return [Goal(g.name, g.wanted, g.value, None if rehearsal else g.reached, g.detail) for g in found]


def _numbers(contents: Contents, stage: str, key: str) -> list[Mapping[str, Any]]:
    return contents.get(stage, {}).get("numbers", {}).get(key, [])


def is_goal_layer(row: Mapping[str, Any]) -> bool:
    """Whether the goal for layers counts this row of a stage's layers."""
    conv = row["conv"]
    wide = min(conv["c_in"], conv["c_out"]) >= GOAL_CHANNELS and conv["group"] == 1 and conv["kernel_h"] == 3
    return wide and row["element"] == "float16" and row["batch"] == GOAL_BATCH


def _layers(contents: Contents) -> Goal:
    """The smallest ratio of the wide 3x3 layers counts: a goal for layers is one for each of them."""
    ratios, chosen = {}, []
    for row in _numbers(contents, "layers", "layers") or _numbers(contents, "short_layers", "layers"):
        us = row["gated_us"].get(str(GOAL_KEEP))
        if is_goal_layer(row) and us:
            ratios[row["layer"]] = row["best_dense_us"] / us
            chosen.append(row["best_dense_us"] / row["chosen_us"][str(GOAL_KEEP)])
    name = "fastest dense form over gated FP16 at half of both sides, 3x3 layers of 128 channels and more, batch 8"
    own = f"; with the plan that the library prefers the worst is {min(chosen):.2f}x" if chosen else ""
    return _goal(name, ratios, min, lambda value: value >= LAYER_GOAL, "at least 1.5x", own)


def _networks(contents: Contents) -> Goal:
    rows = _numbers(contents, "networks", "batches")
    ratios = {f"batch {row['batch']}": row["speedup"] for row in rows if row["batch"] == GOAL_BATCH}
    name = "dense CUDA graph over the gated network with its gates, ResNet-18 at 224, batch 8"
    return _goal(name, ratios, min, lambda value: value >= NETWORK_GOAL, "at least 1.3x")


def _steps(contents: Contents) -> Goal:
    rows = _numbers(contents, "training", "steps")
    ratios = {row["precision"]: row["ratio"] for row in rows if row["precision"] == MIXED}
    name = f"a joint training step over a dense one, {MIXED}"
    return _goal(name, ratios, max, lambda value: value <= STEP_GOAL, "at most 1.3x")


def _goal(
    name: str,
    ratios: Mapping[str, float],
    worst: Callable[..., str],
    good: Callable[[float], bool],
    wanted: str,
    more: str = "",
) -> Goal:
    if not ratios:
        return Goal(name, wanted, None, None, "not measured")
    at = worst(ratios, key=lambda key: ratios[key])
    detail = f"{sum(map(good, ratios.values()))} of {len(ratios)} reach it; the worst is {at}{more}"
    return Goal(name, wanted, ratios[at], good(ratios[at]), detail)
