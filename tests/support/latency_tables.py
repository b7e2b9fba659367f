"""A latency table with known times for any network: no measurement, and every coefficient different from the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sanp_runtime.latency.points import open_point
from sanp_runtime.latency.rows import LatencyRow, Shape
from sanp_runtime.latency.table import LatencyTable
from sanp_runtime.network.layers import Layer


def table_for(layers: Sequence[Layer], slower: Sequence[str] = ()) -> LatencyTable:
    """Times as of a small processor; layers named in `slower` take ten times as long for each channel."""
    shapes = list(dict.fromkeys(map(Shape.of, layers)))
    rows = []
    for index, shape in enumerate(shapes):
        names = tuple(layer.name for layer in layers if Shape.of(layer) == shape)
        area = float(np.prod(shape.out_hw) * np.prod(shape.kernel)) * (10.0 if set(names) & set(slower) else 1.0)
        masked = shape.gated or shape.follows
        times = (1e-8 * area, 2e-7 * area, 3e-7 * area) if masked else (0.0, 0.0, 0.0)
        rows.append(LatencyRow(shape, names, 0.001 + 0.0001 * index, *times))
    table = LatencyTable(
        created="2026-01-01T00:00:00+00:00", bundle={"name": "made up"}, controls={}, versions={},
        settings={"threads": 1, "batch": 1, "precision": "fp32", "isa": None, "power_mode": None},
        device={"arch": "none"}, device_id="000000000000", device_name="a formula", layers=tuple(layers),
        rows=tuple(rows), union_ms=0.0003, other_ms=0.002, dense_ms=1.0, open_ms=1.0, error={"points": 0},
        validity={"verdict": "VALID", "reasons": []},
    )  # fmt: skip
    masks = open_point(layers)
    dense = float(table.predict(layers, masks)[0]) if masks else 1.0
    return LatencyTable(**{**table.__dict__, "dense_ms": 0.9 * dense, "open_ms": dense})
