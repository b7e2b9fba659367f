"""Times one layer: our kernel at several kept fractions and with several plans, against every dense way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.gpu.cuda_library import Conv, Plan
from benchmarks.gpu.layer_case import GatedLayer
from benchmarks.gpu.place import Place
from benchmarks.gpu.tables import Measurement
from benchmarks.networks.shapes import Layer

PLAN_FIELDS = ("tile_m", "tile_n", "split_k", "threads", "shared_bytes")


@dataclass(frozen=True)
class How:
    """plans: kept fraction -> how many plans are timed, the library's choice always among them; 0: all."""

    plans: Mapping[float, int]
    rounds: int = 21
    launches: int = 20


@dataclass
class Measured:
    """A measurement, the shape as the library sees it, and the time of every plan at each kept fraction."""

    measurement: Measurement
    conv: dict[str, float]
    depthwise: bool
    plan_times: dict[float, list[dict]] = field(default_factory=dict)

    def as_json(self) -> dict:
        """Plain data."""
        own = {"conv": self.conv, "depthwise": self.depthwise, "plan_times": self.plan_times}
        return self.measurement.as_json() | own


def spread_plans(plans: Sequence[Plan], count: int) -> dict[int, Plan]:
    """`count` of the plans by their place in the list: the first four, the best of each other algorithm, and others
    evenly from the rest."""
    if not 0 < count < len(plans):
        return dict(enumerate(plans))
    chosen = list(range(min(4, count)))
    tried = {plans[i].algorithm for i in chosen}
    for i, plan in enumerate(plans):
        if plan.algorithm not in tried and len(chosen) < count:
            tried.add(plan.algorithm)
            chosen.append(i)
    rest, wanted = [i for i in range(len(plans)) if i not in chosen], count - len(chosen)
    return {i: plans[i] for i in [*chosen, *(rest[k * len(rest) // wanted] for k in range(wanted))]}


def conv_fields(conv: Conv) -> dict[str, float]:
    """The description as plain data; infinite bounds are left out."""
    return {name: getattr(conv, name) for name, _ in Conv._fields_ if not name.startswith("act_")}


def measure(place: Place, layer: Layer, networks: list[str], batch: int, element: str, how: How) -> Measured:
    """All kept fractions of one layer, in the order of `how.plans`; a plan's result is checked before it is timed."""
    gated_us: dict[float, float] = {}
    names: dict[float, str] = {}
    dense_us: dict[str, float] = {}
    chosen_us: dict[float, float] = {}
    found = None
    for keep, count in how.plans.items():
        problem = GatedLayer(place, layer, batch, element, keep)
        plans = spread_plans(problem.plans(), count)
        for plan in plans.values():
            problem.check(plan)
        runs = {str(index): problem.gated(plan) for index, plan in plans.items()}
        times = place.race(runs | ({} if dense_us else problem.dense()), how.rounds, how.launches)
        ours = {index: times[str(index)] for index in plans}
        best = min(ours, key=lambda index: ours[index])
        gated_us[keep], names[keep], chosen_us[keep] = ours[best], place.library.describe(plans[best]), ours[0]
        dense_us = dense_us or {name: t for name, t in times.items() if name not in runs}
        if found is None:
            empty = Measurement(layer.name, networks, element, batch, batch * layer.macs, {}, {}, {})
            found = Measured(empty, conv_fields(problem.conv), layer.group == layer.c_in > 1)
        found.plan_times[keep] = [
            {"index": i, "algorithm": place.library.algorithm(plan), "us": ours[i], **_sizes(plan)}
            for i, plan in plans.items()
        ]
    assert found is not None, "no kept fraction was asked for"
    found.measurement = Measurement(
        layer.name, networks, element, batch, batch * layer.macs, dense_us, gated_us, names, chosen_us
    )
    return found


def _sizes(plan: Plan) -> dict[str, int]:
    return {name: getattr(plan, name) for name in PLAN_FIELDS}
