"""Measure a latency table: the real bundle, with masks as inputs, at few masks that tell the layers apart."""

from __future__ import annotations

import datetime
import math
import platform
import time
from dataclasses import asdict
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.contract import ACTIVE_PREFIX, DENSE, OPEN
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.latency.conditions import precision_of
from sanp_runtime.latency.fit import ClosedTimes, Fitted, fit, least_points, require_points
from sanp_runtime.latency.points import Masks, closed_point, spread_points
from sanp_runtime.latency.table import LatencyTable
from sanp_runtime.measure.timing import Clock, measure
from sanp_runtime.measure.verdict import assess
from sanp_runtime.profile.layer_times import layer_times
from sanp_runtime.profile.profile import PROFILE_WARM_UP, PROFILED_CALLS, conditions_of
from sanp_targets.controls import held
from sanp_targets.device import describe, device_id, fingerprint
from sanp_targets.errors import ConfigError
from sanp_targets.pinning import choose_cpus, pinned

POINTS = 192  # more for a network of so many shapes that a fit needs them
DURATION_S = 10.0


def measure_table(
    bundle: Union[PathLike, Bundle],
    options: Optional[EngineOptions] = None,
    *,
    duration_s: float = DURATION_S,
    points: Optional[int] = None,
    power_mode: Optional[str] = None,
    fix_clocks: bool = False,
    clock: Clock = time.perf_counter_ns,
) -> LatencyTable:
    """Time the variants `open` and `dense` of a bundle side by side, at `points` masks, and fit the layers to it.

    In `open` the masks alone decide, and gates are computed all the same: their time is in the table, as are layers
    without a gate, other operators and the call. duration_s: measuring time, without warm-up. points: by default 192,
    or three for each term of the fit if those are more. power_mode, fix_clocks: set the power mode of a Jetson by its
    name, fix the clocks, and set both back at the end, see `sanp_targets.controls`. clock: in nanoseconds;
    time.thread_time_ns leaves out what other programs take of the processor, for one thread of a shared machine.
    Raises ConfigError for a bundle whose channels no mask closes, InputError for too few points, AccelerationError if a
    gated node does not run in our kernel, TargetError where a power mode or clocks cannot be set.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    chosen = (options or EngineOptions()).check()
    _require_gates(opened)
    layers, blocks = opened.manifest.layers, opened.manifest.blocks
    count = max(POINTS, least_points(layers, blocks)) if points is None else points
    require_points(layers, count, blocks)
    masks, x = spread_points(layers, count), opened.reference().x
    with held(power_mode, fix_clocks) as controls:
        cpus = choose_cpus(chosen.threads)  # a power mode may switch processors off
        with pinned(cpus) as is_pinned, load_bundle(opened, OPEN, chosen) as engine, load_bundle(
            opened, DENSE, chosen
        ) as dense:
            proof = engine.proof()
            if chosen.library is not None:
                proof.require()
            calls = _calls(engine, dense, x, masks)
            measured = measure(calls, duration_s, clock=clock, sensors=type(engine).read_sensors)
            closed = _closed_times(engine, x)
            versions, accelerator = engine.versions(), engine.accelerator()
            governor = type(engine).gpu_governor()
        device = {**fingerprint(), "accelerator": accelerator, "gpu_governor": governor}
    times = steadied(measured.latency_ms[OPEN], measured.latency_ms[DENSE])
    fitted = fit(layers, masks, times, closed, blocks)
    used = tuple(cpus) if cpus is not None and is_pinned else None
    return LatencyTable(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        bundle={"name": opened.manifest.name, "digest": opened.digest(), "target": dict(opened.manifest.target)},
        settings={
            "threads": chosen.threads,
            "batch": 1,
            "precision": precision_of(opened.manifest),
            "isa": proof.isa,
            "power_mode": (controls.power_mode or {}).get("name"),
            "duration_s": duration_s,
            "cpus": used and list(used),
        },
        device=device,
        device_id=device_id(device),
        device_name=describe(device),
        versions={"python": platform.python_version(), "numpy": np.__version__, **versions},
        controls=controls.to_json()["controls"],
        layers=layers,
        rows=fitted.rows,
        union_ms=fitted.union_ms,
        other_ms=fitted.other_ms,
        dense_ms=measured.typical_ms(DENSE),
        open_ms=float(times[0]),
        error=asdict(fitted.error),
        validity=assess(measured, conditions_of(device, used), DENSE).to_json(),
        points=tuple(_point_rows(masks, times, fitted)),
        blocks=blocks,
    )


def steadied(latency_ms: np.ndarray, constant_ms: np.ndarray) -> np.ndarray:
    """Median of each point over the rounds, float64 [points], of times [rounds, points] at one speed of the machine.

    constant_ms [rounds, points]: calls that do the same work in every round, between the others; a round in which they
    were slower than usual is corrected by that.
    """
    pace = np.median(constant_ms, axis=1)
    found: np.ndarray = np.median(latency_ms / (pace / np.median(pace))[:, None], axis=0)
    return found


def _require_gates(bundle: Bundle) -> None:
    manifest = bundle.manifest
    if not manifest.gated or OPEN not in manifest.variants:
        what = "decides for every pixel" if manifest.pixel_gated else "has no gates"
        raise ConfigError(
            f"{bundle.path} {what}, so no mask closes its channels and its time is one number; expected a bundle with "
            "channel gates; measure it with `sanp profile` alone"
        )


def _calls(engine: Engine, dense: Engine, x: np.ndarray, masks: Sequence[Masks]) -> Dict[str, List[Any]]:
    """A call for each mask in both variants, on real samples in turn."""
    samples = [np.ascontiguousarray(x[index % len(x)][None]) for index in range(len(masks))]
    plain = [dense.bind(sample) for sample in samples[: min(len(x), len(samples))]]
    return {
        OPEN: [engine.bind(sample, mask) for sample, mask in zip(samples, masks)],
        DENSE: (plain * math.ceil(len(masks) / len(plain)))[: len(masks)],
    }


def _closed_times(engine: Engine, x: np.ndarray) -> ClosedTimes:
    """By the backend's profiler, on real samples with one channel open in each layer."""
    count = PROFILE_WARM_UP + PROFILED_CALLS
    parts = [x[index % len(x)][None] for index in range(count)]
    nodes = engine.node_times(parts, skip=PROFILE_WARM_UP, masks=closed_point(engine.layers))
    return ClosedTimes(
        layers_ms=layer_times(engine.layers, nodes, engine.manifest.blocks_of(engine.variant)),
        unions_ms=sum(node.typical_ms for node in nodes if node.name.startswith(ACTIVE_PREFIX)),
        total_ms=sum(node.typical_ms for node in nodes),
    )


def _point_rows(masks: Sequence[Masks], times: np.ndarray, fitted: Fitted) -> List[Dict[str, Any]]:
    return [
        {
            "open": {name: int(mask.sum()) for name, mask in point.items()},
            "ms": round(float(time), 6),
            "predicted_ms": round(float(predicted), 6),
        }
        for point, time, predicted in zip(masks, times, fitted.predicted_ms)
    ]
