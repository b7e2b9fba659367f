"""Latency of every budget on the machine that compiles, one sample and one thread, in turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sanp.pipeline.compile.budgets.turned import Thresholds, TurnedNetwork
from sanp_runtime.engines.onnxruntime.library import OpLibrary
from sanp_runtime.measure.timing import measure
from sanp_runtime.profile.tuning_note import machine
from sanp_targets.device import fingerprint
from sanp_targets.pinning import choose_cpus, pinned

THREADS = 1
# Samples that are timed, and seconds over all budgets, without warm-up.
_SAMPLES = 32
_SECONDS = 2.0


@dataclass(frozen=True)
class Times:
    """ms: budget -> latency of an average sample; about: machine, threads and batch, for the manifest."""

    ms: dict[float, float]
    about: dict[str, Any]


def typical_times(
    network: TurnedNetwork, x: np.ndarray, budgets: Mapping[float, Thresholds], library: OpLibrary
) -> Times:
    """Time some samples x [n, C, H, W] at every budget; as `Measurement.typical_ms`, without a verdict."""
    some = x[np.linspace(0, len(x) - 1, min(len(x), _SAMPLES)).round().astype(int)]
    calls = {str(budget): network.calls(some, thresholds) for budget, thresholds in budgets.items()}
    with pinned(choose_cpus(THREADS)):
        found = measure(calls, _SECONDS)
    about = {"machine": machine(fingerprint(), library.isa), "threads": THREADS, "batch": 1}
    return Times({budget: found.typical_ms(str(budget)) for budget in budgets}, about)
