"""Summary of a series of latencies, in the block that other tools read too."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Union

import numpy as np

# With fewer values the 99th percentile is decided by a handful of outliers.
P99_MIN_COUNT = 1000


def typical(latency_ms: np.ndarray) -> float:
    """Mean over samples of the median over rounds; float [rounds, samples]: an average sample, undisturbed."""
    return float(np.median(latency_ms, axis=0).mean())


def stats(values_ms: Union[np.ndarray, Sequence[float]]) -> Dict[str, Any]:
    """{"unit": "ms", "count", "mean", "stdev", "min", "max", "p50", "p90", "p95", "p99", "values"}.

    stdev is that of the sample (n - 1), null for one value; percentiles interpolate linearly; p99 is null below 1000
    values. An empty series is a ValueError.
    """
    values = np.asarray(values_ms, np.float64).ravel()
    if not values.size:
        raise ValueError("no values to summarise")
    p50, p90, p95, p99 = (float(value) for value in np.percentile(values, (50, 90, 95, 99)))
    return {
        "unit": "ms",
        "count": int(values.size),
        "mean": float(values.mean()),
        "stdev": float(values.std(ddof=1)) if values.size > 1 else None,
        "min": float(values.min()),
        "max": float(values.max()),
        "p50": p50,
        "p90": p90,
        "p95": p95,
        "p99": p99 if values.size >= P99_MIN_COUNT else None,
        "values": [round(float(value), 6) for value in values],  # nanoseconds
    }
