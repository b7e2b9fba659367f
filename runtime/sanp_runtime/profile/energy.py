"""Energy per inference of every variant, with the rail and the window that it was measured on."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence

import numpy as np

from sanp_runtime.engines.base import Engine
from sanp_runtime.measure.energy import INTERVAL_S, MIN_SAMPLES, MIN_WINDOW_S, Window, energy_windows
from sanp_targets.power import Meter, NoPower, find_meter


def energy_of(
    engines: Mapping[str, Engine], batches: Sequence[np.ndarray], duration_s: float, cpus: Optional[Sequence[int]]
) -> Dict[str, Any]:
    """The block `energy` of a profile as plain JSON; runtime/README.md names its keys.

    duration_s: measuring time of the latencies; each window is its share for one variant, three seconds at least.
    cpus: the processors that the engines are pinned to. What cannot be measured is None, and `missing` says why.
    """
    main = next(iter(engines.values()))
    if not main.BINDS:
        why = "trtexec starts a process for every call, whose energy is mostly that of loading; use TensorRT's package"
        return _block(missing=why)
    try:
        meter = find_meter(gpu=bool(main.accelerator()), interval_ms=round(1e3 * INTERVAL_S))
    except NoPower as error:
        return _block(missing=str(error))
    calls = {name: [engine.bind(part) for part in batches] for name, engine in engines.items()}
    window_s = max(MIN_WINDOW_S, duration_s / len(engines))
    return block(meter, energy_windows(calls, meter, window_s, batch=len(batches[0]), avoid=cpus))


def block(meter: Meter, windows: Mapping[Optional[str], Window]) -> Dict[str, Any]:
    """The block of windows that were measured, the idle one under None."""
    idle = windows[None]
    idle_watts = idle.watts()
    rows = {name: window.to_json(idle_watts) for name, window in windows.items() if name is not None}
    unread = [name for name, row in rows.items() if row["inference_j"] is None]
    missing = None
    if unread:
        fewest = min(len(windows[name].trace.values) for name in unread)
        missing = (
            f"{meter.name} gave {fewest} samples of the total in a window, expected {MIN_SAMPLES} or more of every "
            "rail of it; measure longer (--duration)"
        )
    return _block(
        meter=meter.name,
        total=" + ".join(meter.total),
        note=meter.note,
        idle=idle.to_json(idle_watts),
        variants=rows,
        missing=missing,
    )


def _block(missing: Optional[str], **found: Any) -> Dict[str, Any]:
    """The same keys whatever was found: None, and no variants, without a meter."""
    empty: Dict[str, Any] = {"meter": None, "total": None, "note": None, "idle": None, "variants": {}}
    return {**empty, "interval_s": INTERVAL_S, "min_samples": MIN_SAMPLES, **found, "missing": missing}
