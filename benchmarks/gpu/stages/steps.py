"""Stage of a second visit: the time of a dense and of a joint step, started from Python and replayed as CUDA graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.gpu.place import Place
from benchmarks.gpu.stages.training import FULL, PRECISIONS, SMALL, Sizes, common_settings
from benchmarks.gpu.training_steps import StepTimes, measure
from benchmarks.gpu.visit.record import Record
from sanp.methods.registry import train_settings
from sanp_targets.errors import ConfigError, InputError

LEAST_SECONDS = 9.0  # with less left no further row is begun
GRAPH_STEPS = 80
AGREEMENT_STEPS = 4
AGREEMENT_RATE = 0.001  # so low that training does not multiply differences of rounding
MOST_DIFFERENCE = 1e-2  # of a loss: TF32, and atomic sums of cuDNN


def run(place: Place, record: Record) -> None:
    """Rows are written as they come. A precision that fails is written down; RuntimeError at the end if one did.

    "agreement" comes first: losses of the same float32 steps, same seeds and images, both ways. Rows of "steps" have no
    losses: their epochs are longer with graphs, which are recorded anew in each, so images and schedule are others.
    """
    sizes = place.pick(replace(FULL, steps=10, epochs=2), SMALL)
    both = (False,) if place.rehearsal else (False, True)
    _agreement(place, record, replace(sizes, epochs=1), both)
    for precision in PRECISIONS:
        for graph in both:
            if record.seconds_left() < place.pick(LEAST_SECONDS, 0.0):
                record.note(left_out=f"{precision}, cuda_graph {graph}, and what follows: no time")
                break
            _timed(place, record, sizes, precision, graph, GRAPH_STEPS if graph else sizes.steps)
    failed = record.numbers.get("failed", [])
    if failed:
        raise RuntimeError(f"{len(failed)} of the steps failed, the first: {failed[0]}")


def _agreement(place: Place, record: Record, sizes: Sizes, both: Sequence[bool]) -> None:
    """Write the losses of each way and, where there are two, their largest difference; too large is a failure."""
    losses: dict[str, Any] = {}
    for graph in both:
        times = _measured(place, record, sizes, "float32", graph, AGREEMENT_STEPS, AGREEMENT_RATE)
        if times is None:
            return
        losses["graph" if graph else "python"] = list(times.losses)
    found: dict[str, Any] = {"precision": "float32", "steps": AGREEMENT_STEPS, "losses": losses}
    if "graph" in losses:
        found["difference"] = largest_difference(losses["python"], losses["graph"])
    record.note(agreement=found)
    print("agreement", found, flush=True)
    if not found.get("difference", 0.0) <= MOST_DIFFERENCE:
        said = f"losses differ by {found['difference']:.2g}, expected at most {MOST_DIFFERENCE}"
        record.append("failed", {"precision": "float32", "cuda_graph": True, "said": said})


def largest_difference(python: Sequence[float], graph: Sequence[float]) -> float:
    """Largest difference over Python's loss, NaN if a loss is none; ValueError if the epochs are not the same."""
    return float(np.max([abs(a - b) / abs(a) for a, b in zip(python, graph, strict=True)]))


def _timed(place: Place, record: Record, sizes: Sizes, precision: str, graph: bool, steps: int) -> None:
    times = _measured(place, record, sizes, precision, graph, steps)
    if times is not None:
        row = {key: value for key, value in times.as_json().items() if key != "losses"}
        record.append("steps", {**row, "cuda_graph": graph, "steps": steps})
        print("steps", times, "graph" if graph else "", flush=True)


def _measured(
    place: Place, record: Record, sizes: Sizes, precision: str, graph: bool, steps: int, rate: float | None = None
) -> StepTimes | None:
    """Times and losses, or None with the reason written down. rate: of learning, where it is not the usual one."""
    common: dict[str, Any] = {**common_settings(place, sizes), "log_every": steps}
    if rate is not None:
        common |= {"lr": rate, "joint_lr": rate}
    try:
        return measure(train_settings(precision=precision, cuda_graph=graph, **common), steps, sizes.epochs)
    except (RuntimeError, InputError, ConfigError) as error:
        record.append("failed", {"precision": precision, "cuda_graph": graph, "said": str(error)[:1000]})
        return None
