"""What a table predicts for the samples of a profile, beside what was measured."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Mapping, Optional, Union

import numpy as np

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.contract import DENSE, GATED
from sanp_runtime.latency.rows import Shape
from sanp_runtime.latency.table import LatencyTable
from sanp_targets.errors import ConfigError


def prediction(
    table: LatencyTable,
    bundle: Union[PathLike, Bundle],
    profile: Mapping[str, Any],
) -> Dict[str, Any]:
    """The mean over the samples and the errors of single samples, as plain JSON.

    profile: `Profile.to_json()` of this bundle, measured on its reference samples with batch 1. The masks are those of
    the reference: the bundle need not run here. Raises ConfigError if the profile is of another device, batch or number
    of threads than the table, InputError if a layer of the bundle has a shape that is not in the table.

    dense_ratio: time of the dense network in the profile over that in the table, which is the speed of the machine now
    and then; error_at_dense_speed: the error of the mean without that. Both None for a network of other layers.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    table.require_device(profile["device_id"], profile["device_name"])
    for name in ("batch", "threads"):
        found, wanted = profile["settings"][name], table.settings[name]
        if found != wanted:
            raise ConfigError(
                f"the profile has {name} = {found}, the latency table was measured with {wanted}: they tell of "
                f"different calls; measure with {name} = {wanted}"
            )
    if GATED not in opened.manifest.variants:
        raise ConfigError(f"{opened.path} has no gates, expected a bundle whose gates a table can follow; leave it out")
    predicted = table.predict(opened.manifest.layers, opened.reference().scales)
    measured = np.array([row["gated_ms"] for row in profile["samples"]])
    errors = np.abs(predicted / measured - 1)
    typical = float(measured.mean())
    same = Counter(map(Shape.of, table.layers)) == Counter(map(Shape.of, opened.manifest.layers))
    ratio = profile["variants"][DENSE]["typical_ms"] / table.dense_ms if same else None
    return {
        "table": {"bundle": table.bundle["name"], "created": table.created, "device_id": table.device_id},
        "predicted_ms": float(predicted.mean()),
        "measured_ms": typical,
        "error": float(predicted.mean() / typical - 1),
        "dense_ratio": ratio,
        "error_at_dense_speed": None if ratio is None else float(predicted.mean() * ratio / typical - 1),
        "samples": {
            "median": float(np.median(errors)),
            "p90": float(np.percentile(errors, 90)),
            "largest": float(errors.max()),
            "correlation": _correlation(predicted, measured),
        },
    }


def _correlation(predicted: np.ndarray, measured: np.ndarray) -> Optional[float]:
    if len(predicted) < 3 or np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return None
    return float(np.corrcoef(predicted, measured)[0, 1])
