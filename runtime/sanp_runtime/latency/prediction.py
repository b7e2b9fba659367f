"""What a table predicts for the samples of a profile, beside what was measured."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Mapping, Union

import numpy as np

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.contract import DENSE, GATED
from sanp_runtime.latency.conditions import precision_of, require_conditions
from sanp_runtime.latency.rows import Shape
from sanp_runtime.latency.table import LatencyTable
from sanp_runtime.profile.costs import correlation
from sanp_targets.errors import ConfigError


def require_predictable(table: LatencyTable, bundle: Union[PathLike, Bundle], *, threads: int, batch: int) -> None:
    """What can be told before a profile is measured, in order not to measure in vain.

    Raises ConfigError for a bundle without gates, and for another number of threads, batch or precision than those of
    the table; InputError if a layer of the bundle has a shape that is not in the table.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    manifest = opened.manifest
    if GATED not in manifest.variants:
        raise ConfigError(f"{opened.path} has no gates, expected a bundle whose gates a table can follow; leave it out")
    table.require_settings({"threads": threads, "batch": batch, "precision": precision_of(manifest)})
    table.costs(manifest.layers, manifest.blocks)


def prediction(
    table: LatencyTable,
    bundle: Union[PathLike, Bundle],
    profile: Mapping[str, Any],
) -> Dict[str, Any]:
    """The mean over the samples and the errors of single samples, as plain JSON.

    profile: `Profile.to_json()` of this bundle, measured on its reference samples with batch 1. The masks are those of
    the reference: the bundle need not run here. Raises what `require_predictable` raises, and ConfigError if the
    profile is of another device, power mode or instruction set than the table.

    dense_ratio: time of the dense network in the profile over that in the table, which is the speed of the machine now
    and then; error_at_dense_speed: the error of the mean without that. Both None for a network of other layers.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    settings = profile["settings"]
    require_predictable(table, opened, threads=settings["threads"], batch=settings["batch"])
    require_conditions(table, profile, opened.manifest)
    predicted = table.predict(opened.manifest.layers, opened.reference().scales, opened.manifest.blocks)
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
            "correlation": correlation(measured, predicted),
        },
    }
