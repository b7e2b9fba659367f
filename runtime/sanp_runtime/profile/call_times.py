"""The convenient call beside the bound one, on the same samples: what the checks and copies of a call cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, List, Optional, Union

import numpy as np

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.measure.timing import measure
from sanp_runtime.profile.batches import batches_of
from sanp_targets.pinning import choose_cpus, pinned

CONVENIENT, UPDATED, BOUND = "engine(x)", "update and call", "call"


@dataclass(frozen=True)
class CallTimes:
    """Typical ms per call: the mean over samples of the median of each.

    convenient_ms: `engine(x)`, which checks x and returns outputs, gates and cost. updated_ms: the bound call with new
    images written into its input and `update`. bound_ms: the bound call alone, which is what `profile` times.
    """

    variant: str
    threads: int
    batch: int
    calls: int
    convenient_ms: float
    updated_ms: float
    bound_ms: float

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    def lines(self) -> List[str]:
        """A row per way to call, for a person."""
        rows = ((CONVENIENT, self.convenient_ms), (UPDATED, self.updated_ms), (BOUND, self.bound_ms))
        head = f"variant {self.variant}, batch {self.batch}, {self.threads} thread(s), {self.calls} calls of each"
        return [head, *(f"{name:18}{ms:10.4f} ms" for name, ms in rows)]


def time_calls(
    bundle: Union[PathLike, Bundle],
    options: Optional[EngineOptions] = None,
    *,
    variant: Optional[str] = None,
    duration_s: float = 3.0,
    batch: int = 1,
) -> CallTimes:
    """Time the ways to call one variant, side by side on the reference samples of a bundle.

    variant: None is the network as trained. duration_s: measuring time over all ways, without warm-up. batch: samples
    per call. Raises ConfigError if the backend cannot bind, and as `load_bundle` and `profile` do.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    chosen = (options or EngineOptions()).check()
    batches = batches_of(opened.reference().x, batch)
    with pinned(choose_cpus(chosen.threads)), load_bundle(opened, variant, chosen) as engine:
        measurement = measure(_ways(engine, batches), duration_s)
    typical = {name: measurement.typical_ms(name) for name in measurement.latency_ms}
    calls = int(measurement.latency_ms[BOUND].size)
    return CallTimes(
        variant or opened.manifest.main,
        chosen.threads,
        batch,
        calls,
        typical[CONVENIENT],
        typical[UPDATED],
        typical[BOUND],
    )


def _ways(engine: Engine, batches: List[np.ndarray]) -> Dict[str, List[Callable[[], Any]]]:
    """Name of a way to call -> a function for each batch."""
    shared = engine.bind(batches[0])

    def updated(x: np.ndarray) -> np.ndarray:
        np.copyto(shared.input, x)
        shared.update()
        return shared()

    return {
        CONVENIENT: [lambda x=x: engine(x) for x in batches],  # type: ignore[misc]
        UPDATED: [lambda x=x: updated(x) for x in batches],  # type: ignore[misc]
        BOUND: [engine.bind(x) for x in batches],
    }
