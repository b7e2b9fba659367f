"""Stage of a second visit: the time of a dense and of a joint step, started from Python and replayed as CUDA graphs."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.gpu.place import Place
from benchmarks.gpu.stages.training import FULL, PRECISIONS, SMALL, common_settings
from benchmarks.gpu.training_steps import measure
from benchmarks.gpu.visit.record import Record
from sanp.methods.registry import train_settings
from sanp_targets.errors import ConfigError, InputError


def run(place: Place, record: Record) -> None:
    """Rows are written as they come. A precision that fails is written down; RuntimeError at the end if one did."""
    sizes = place.pick(replace(FULL, steps=10, epochs=3), SMALL)
    for precision in PRECISIONS:
        for graph in (False, True) if not place.rehearsal else (False,):
            torch.manual_seed(0)
            try:
                settings = train_settings(precision=precision, cuda_graph=graph, **common_settings(place, sizes))
                times = measure(settings, sizes.steps, sizes.epochs)
            except (RuntimeError, InputError, ConfigError) as error:
                record.append("failed", {"precision": precision, "cuda_graph": graph, "said": str(error)[:1000]})
                continue
            record.append("steps", {**times.as_json(), "cuda_graph": graph})
            print(times, "graph" if graph else "", flush=True)
    failed = record.numbers.get("failed", [])
    if failed:
        raise RuntimeError(f"{len(failed)} of the steps failed, the first: {failed[0]}")
