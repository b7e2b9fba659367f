"""A latency table: rows by shape of layer, the device they were measured on, and the times that they add up to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.json_text import parse_json
from sanp_runtime.bundle.result_json import dumps
from sanp_runtime.latency.rows import LatencyRow, Shape, shapes_of
from sanp_runtime.latency.unions import count_unions
from sanp_runtime.network.blocks import Blocks
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import LayerCost, OpenChannels, count_costs
from sanp_targets.errors import ConfigError, InputError

KIND = "latency-table"
VERSION = 2


@dataclass(frozen=True)
class LatencyTable:
    """Times of the layers of one network on one device, at batch 1.

    layers: of the network that was measured; rows: by shape, so that other networks of the same shapes can be predicted
    too. union_ms: joining the scales of two gates, where a layer reads a sum. other_ms: what belongs to no layer: other
    operators, and the call. dense_ms: the same network without gates, in
    the kernels that the bundle has for it; open_ms: with gates, all open. error: of points that the fit did not see.
    blocks: of the bundle, see `Manifest.blocks`: the row of a block has the time of all its layers.
    points: what was measured, {"open": {layer: channels}, "ms", "predicted_ms"}. settings: how calls were made, see
    `sanp_runtime.latency.conditions`: threads, batch, precision, isa, power_mode; and duration_s, cpus. controls: who
    fixed the clocks, and what could not be set back. validity: the verdict on the measurement, see
    `sanp_runtime.measure.verdict`.
    """

    created: str
    bundle: Mapping[str, Any]
    settings: Mapping[str, Any]
    device: Mapping[str, Any]
    device_id: str
    device_name: str
    versions: Mapping[str, str]
    controls: Mapping[str, Any]
    layers: Tuple[Layer, ...]
    rows: Tuple[LatencyRow, ...]
    union_ms: float
    other_ms: float
    dense_ms: float
    open_ms: float
    error: Mapping[str, float]
    validity: Mapping[str, Any]
    points: Tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    blocks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def costs(self, layers: Sequence[Layer], blocks: Optional[Blocks] = None) -> Tuple[LayerCost, ...]:
        """The cost of each layer in ms; the first one carries what belongs to none.

        blocks: of that network where it runs, see `Manifest.blocks`. InputError naming the first layer whose shape was
        not measured; a block and three layers that run apart are different shapes.
        """
        known = {row.shape: row for row in self.rows}
        costs: List[LayerCost] = []
        for layer, shape in zip(layers, shapes_of(layers, blocks)):
            if shape is None:
                costs.append(LayerCost(0.0, 0.0, 0.0))
                continue
            if shape not in known:
                raise InputError(
                    f"layer {layer.name} has {shape}, which the latency table of {self.bundle.get('name')} does not "
                    "have; measure one with `sanp profile --table` from a bundle of this network, with the same gates "
                    "and compiled alike"
                )
            costs.append(known[shape].cost)
        if not costs:
            raise InputError("a network without layers was given, expected some; export it again")
        rest = self.other_ms + self.union_ms * count_unions(layers)
        return (replace(costs[0], constant=costs[0].constant + rest), *costs[1:])

    def predict(
        self, layers: Sequence[Layer], masks: Mapping[str, np.ndarray], blocks: Optional[Blocks] = None
    ) -> np.ndarray:
        """Milliseconds of each sample, float64 [N].

        layers, blocks: a network all of whose shapes are in the table, else InputError. masks: gated layer ->
        [N, Co], a mask or a scale, nonzero = open.
        """
        binary = {name: (np.asarray(mask) != 0).astype(np.float64) for name, mask in masks.items()}
        missing = [row.name for row in layers if row.gated and row.name not in binary]
        if missing or not binary:
            raise InputError(f"there is no mask for {', '.join(missing)[:200]}, expected one for each gated layer")
        return np.asarray(count_costs(layers, self.costs(layers, blocks), OpenChannels(binary)))

    def require_device(self, found: str, name: str) -> None:
        """ConfigError unless `found` is the id of the device of the table; name: that device in words."""
        if found != self.device_id:
            raise ConfigError(
                f"the latency table was measured on {self.device_name} ({self.device_id}), this is {name} ({found}): "
                "times of one say nothing of the other; measure a table here with `sanp profile --table`"
            )

    def require_settings(self, found: Mapping[str, Any]) -> None:
        """ConfigError, naming the first one that differs, unless calls are made as those of the table were.

        found: some of threads, batch, precision, isa and power_mode.
        """
        for name, value in found.items():
            wanted = self.settings.get(name)
            if value != wanted:
                raise ConfigError(
                    f"there is {name} = {value} here and {name} = {wanted} in the latency table of "
                    f"{self.bundle.get('name')}, expected the same: they tell of different calls; measure both alike, "
                    "the table with `sanp profile --table`"
                )

    def require_network(self, layers: Sequence[Layer]) -> None:
        """ConfigError, naming the first layer that differs, unless the table was measured on this very network."""
        own, other = ({row.name: Shape.of(row) for row in rows} for rows in (self.layers, layers))
        for name in [*own, *other]:
            if own.get(name) != other.get(name):
                here, there = (str(rows[name]) if name in rows else "missing" for rows in (other, own))
                raise ConfigError(
                    f"layer {name} is {here} here and {there} in the latency table of {self.bundle.get('name')}, "
                    "expected the same network with the same gates; measure a table with `sanp profile --table` from a "
                    "bundle of this one"
                )

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        row = dict(self.__dict__, schema_version=VERSION, kind=KIND)
        row.update(layers=[layer.to_json() for layer in self.layers], rows=[one.to_json() for one in self.rows])
        blocks = {node: list(members) for node, members in self.blocks.items()}
        return {**row, "points": list(self.points), "blocks": blocks}

    @staticmethod
    def from_json(row: Any) -> "LatencyTable":
        """Read what `to_json` made; InputError for anything else."""
        if not isinstance(row, dict) or row.get("kind") != KIND:
            kind = row.get("kind") if isinstance(row, dict) else type(row).__name__
            raise InputError(
                f"the file is a {kind}, expected a {KIND}; make one with `sanp profile model.sanp --table table.json`"
            )
        if row.get("schema_version") != VERSION:
            raise InputError(
                f"the latency table has format {row.get('schema_version')}, expected {VERSION}: it was written by "
                "another release; measure it again"
            )
        # Tables without blocks are older than blocks.
        fields = {"blocks": {}, **{key: value for key, value in row.items() if key not in ("kind", "schema_version")}}
        expected = set(LatencyTable.__dataclass_fields__)
        times = [fields.get(name) for name in ("union_ms", "other_ms", "dense_ms", "open_ms")]
        if set(fields) != expected or not all(isinstance(time, (int, float)) and time >= 0 for time in times):
            raise InputError(
                f"the latency table has the fields {sorted(fields)}, expected {sorted(expected)} with times from 0 on; "
                "measure it again"
            )
        if not all(isinstance(fields[name], list) for name in ("layers", "rows", "points")) or not all(
            isinstance(fields[name], dict) for name in ("bundle", "settings", "validity", "blocks")
        ):
            raise InputError(
                "the latency table has no lists of layers, rows and points, or no objects bundle, settings, validity "
                "and blocks, expected them; measure it again"
            )
        layers = tuple(Layer.from_json(one) for one in fields["layers"])
        rows = tuple(LatencyRow.from_json(one) for one in fields["rows"])
        names = {layer.name for layer in layers}
        for node, members in fields["blocks"].items():
            if not isinstance(members, list) or len(members) != 3 or not set(map(str, members)) <= names:
                raise InputError(
                    f"the block {node} of the latency table has the layers {members!r:.200}, expected three of its "
                    "layers; measure it again"
                )
        table = LatencyTable(**{**fields, "layers": layers, "rows": rows, "points": tuple(fields["points"])})
        table.costs(layers, table.blocks)
        return table

    def save(self, path: Union[str, Path]) -> None:
        """Write it atomically."""
        write_atomically(Path(path), dumps(self.to_json()).encode())


def read_table(path: Union[str, Path]) -> LatencyTable:
    """The table in a file; InputError, naming it, if it cannot be read or is none."""
    return LatencyTable.from_json(_parsed(Path(path)))


def digest(path: Union[str, Path]) -> str:
    """SHA-256 of the file of a table."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _parsed(path: Path) -> Any:
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{path}: cannot be read as a latency table ({reason}), expected a file that `sanp profile --table` wrote; "
            "measure it again"
        ) from error
