"""Stage of a second visit: the time of a dense and of a joint step, started from Python and replayed as CUDA graphs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.gpu.place import Place
from benchmarks.gpu.stages.training import FULL, PRECISIONS, SMALL, Sizes, common_settings
from benchmarks.gpu.training_steps import measure
from benchmarks.gpu.visit.record import Record
from sanp.methods.registry import train_settings
from sanp_targets.errors import ConfigError, InputError

LEAST_SECONDS = 9.0  # with less left no further row is begun
GRAPH_STEPS = 80


def run(place: Place, record: Record) -> None:
    """Rows are written as they come. A precision that fails is written down; RuntimeError at the end if one did.

    "agreement": the losses of few steps in float32, both ways. Epochs with graphs are longer: each is recorded anew.
    """
    sizes = place.pick(replace(FULL, steps=10, epochs=2), SMALL)
    both = (False,) if place.rehearsal else (False, True)
    for precision in PRECISIONS:
        for graph in both:
            if record.seconds_left() < place.pick(LEAST_SECONDS, 0.0):
                record.note(left_out=f"{precision}, cuda_graph {graph}, and what follows: no time")
                break
            _measured(place, record, "steps", sizes, precision, graph, GRAPH_STEPS if graph else sizes.steps)
    if record.seconds_left() > place.pick(LEAST_SECONDS, 0.0):
        for graph in both:
            _measured(place, record, "agreement", replace(sizes, epochs=1), "float32", graph, 4)
    failed = record.numbers.get("failed", [])
    if failed:
        raise RuntimeError(f"{len(failed)} of the steps failed, the first: {failed[0]}")


def _measured(place: Place, record: Record, key: str, sizes: Sizes, precision: str, graph: bool, steps: int) -> None:
    common: dict[str, Any] = {**common_settings(place, sizes), "log_every": steps}
    try:
        settings = train_settings(precision=precision, cuda_graph=graph, **common)
        times = measure(settings, steps, sizes.epochs)
    except (RuntimeError, InputError, ConfigError) as error:
        record.append("failed", {"precision": precision, "cuda_graph": graph, "said": str(error)[:1000]})
        return
    record.append(key, {**times.as_json(), "cuda_graph": graph, "steps": steps})
    print(key, times, "graph" if graph else "", flush=True)
