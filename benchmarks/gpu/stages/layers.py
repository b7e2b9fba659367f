"""Stage 2: single layers against the fastest dense form, break-even densities, and the fitted cost model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.backbones import layers_of
from benchmarks.gpu.cost_fit import Timed, fit
from benchmarks.gpu.cost_model import Problem
from benchmarks.gpu.layer_measure import How, Measured, measure
from benchmarks.gpu.place import Place
from benchmarks.gpu.tables import table
from benchmarks.gpu.visit.record import Record
from benchmarks.networks.shapes import Layer

TUNED_KEEP = 0.5  # what the cost model expects
FALLBACK_CLOCK = "1980"  # MHz, where nvidia-smi does not tell
RESERVE_SECONDS = 12.0  # for the fit
MOST_FAILURES = 8  # after an illegal access every further call fails too


@dataclass(frozen=True)
class Sizes:
    """What is measured. passes: element type, batch, networks; earlier ones are worth more."""

    passes: tuple[tuple[str, int, tuple[str, ...]], ...]
    how: How
    only: dict[str, tuple[Layer, ...]]  # layers of a network in place of its own


RESNETS, SMALL_RESNET, MOBILE = ("resnet18", "resnet50"), ("resnet18",), ("mobilenet-v2",)
FULL = Sizes(
    (("float16", 8, RESNETS), ("float16", 1, RESNETS), ("float16", 8, MOBILE), ("float32", 8, SMALL_RESNET),
     ("float16", 1, MOBILE), ("float32", 1, SMALL_RESNET), ("float32", 8, MOBILE), ("float32", 1, MOBILE),
     ("float32", 8, ("resnet50",)), ("float32", 1, ("resnet50",))),
    How({TUNED_KEEP: 10, 1.0: 2, 0.3: 2}, rounds=11, launches=12), {},
)  # fmt: skip
SMALL = Sizes(
    (("float16", 2, ("resnet18", "mobilenet-v2")), ("float32", 1, ("resnet18",))),
    How({TUNED_KEEP: 6, 1.0: 1, 0.3: 1}, rounds=1, launches=1),
    {"resnet18": (Layer(16, 24, 6), Layer(24, 16, 8, 1, 1, 0)),
     "mobilenet-v2": (Layer(12, 12, 6, 3, 1, 1, 12),)},
)  # fmt: skip


def run(place: Place, record: Record) -> None:
    """All layers."""
    measure_all(place, record, place.pick(FULL, SMALL))


def measure_all(place: Place, record: Record, sizes: Sizes) -> None:
    """Rows are written one by one; near the end of its time the stage stops measuring and fits what it has.

    A layer that fails is written down and left out; RuntimeError at the end if there was one.
    """
    torch.manual_seed(0)
    measured: list[Measured] = []
    failed: list[str] = []
    tasks = tasks_of(sizes)
    for element, batch, layer, networks in tasks:
        if record.seconds_left() < RESERVE_SECONDS or len(failed) == MOST_FAILURES:
            break
        try:
            measured.append(measure(place, layer, networks, batch, element, sizes.how))
        except RuntimeError as error:
            failed.append(layer.name)
            record.append(
                "failed", {"layer": layer.name, "element": element, "batch": batch, "said": str(error)[:1000]}
            )
            continue
        record.append("layers", measured[-1].as_json())
        print(table([measured[-1].measurement]).splitlines()[-1], flush=True)
    record.note(measured=len(measured), planned=len(tasks), table=table([one.measurement for one in measured]))
    clock = str(record.content["facts"].get("clocks.max.sm", FALLBACK_CLOCK))
    clock_mhz = float(clock if clock.replace(".", "").isdigit() else FALLBACK_CLOCK)
    fits: dict[str, Any] = {}
    for element in ("float16", "float32"):
        try:
            fits[element] = fit(timed_rows(measured, element, place.kernel_device.sm_count), clock_mhz).as_json()
        except ValueError as error:
            fits[element] = {"problem": str(error)}
    record.note(cost_model=fits, clock_mhz=clock_mhz)
    if failed:
        raise RuntimeError(f"{len(failed)} layers failed, the first is {failed[0]}; the numbers name them")


def tasks_of(sizes: Sizes) -> list[tuple[str, int, Layer, list[str]]]:
    """Element, batch, layer and its networks, no task twice; in a pass, 3x3 layers with many channels come first."""
    tasks: list[tuple[str, int, Layer, list[str]]] = []
    for element, batch, networks in sizes.passes:
        found: dict[Layer, list[str]] = {}
        for network in networks:
            for layer in dict.fromkeys(sizes.only.get(network) or layers_of(network)):
                found.setdefault(layer, []).append(network)
        known = {task[2] for task in tasks if task[:2] == (element, batch)}
        order = sorted(
            (layer for layer in found if layer not in known),
            key=lambda layer: not (layer.kernel == 3 and min(layer.c_in, layer.c_out) >= 128),
        )
        tasks += [(element, batch, layer, found[layer]) for layer in order]
    return tasks


def timed_rows(measured: list[Measured], element: str, sm_count: int) -> list[Timed]:
    """The plans timed at the density that the model expects; without stems, because all their inputs are open."""
    rows = []
    for one in measured:
        m = one.measurement
        if m.element != element or one.conv["c_in"] == 3:
            continue
        for plan in one.plan_times.get(TUNED_KEEP, []):
            rows.append(Timed(f"{m.layer}, batch {m.batch}", Problem(one.conv, plan, sm_count), plan["us"]))
    return rows
