"""The manifest of a bundle: what the files are, what they compute, where they come from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any, Dict, FrozenSet, Mapping, Optional, Tuple

from sanp_runtime.bundle.budgets import BudgetSetting, settings_of
from sanp_runtime.contract import (
    ALL_VARIANTS,
    BLOCK_VARIANTS,
    DENSE,
    FLOAT_DENSE,
    FLOAT_GATED,
    GATED,
    INT8,
    MANIFEST_FILE,
    MEASURED,
    PARENT,
    TENSORRT,
)
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import dense_macs
from sanp_runtime.network.outputs import Output, classes_of
from sanp_runtime.network.sizes import Size, SizeTable, in_words, text_of
from sanp_targets.errors import InputError

SCHEMA_VERSION = 4

CHECKSUM = "manifest_sha256"  # key of the checksum that a manifest carries of itself
REPAIR = "copy the bundle again or compile it again"


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and sha256 (hex) of one file of the bundle."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything about a bundle that is not weights.

    `input` is {"name", "shape": [C, H, W], "dtype": "float32", "normalisation": {...}}, and `any_size`: true where
    other heights and widths are taken too, so that `shape` is the size of the layer table, or `sizes`, a list of them
    (see the property); normalisation describes what the caller has done to x; the engine does not do it. `outputs` are
    those of the network; the gates, which are outputs too, follow from `gated`. `build` says how the engines of a
    backend are made: for TensorRT `precision`, `plugin_layers`, `batch`, `sm` (compute capability of the target, null
    if the card is not known, absent in bundles of older versions), and once they exist `engines`, `plugin` and
    `fingerprint`; for ONNX
    Runtime `glibc`, the oldest version that loads the operator library, and `bf16_weights` if weights were rounded:
    `layers` with the errors of their weights, and `answers`; of an int8 bundle `precision` "int8" and `int8`, see
    `Manifest.int8`. `fold` says what was taken out of a gated network:
    `layers` (see the property `fold`), `multiple`, `max_drop` and `check`. `pixel_gated` names the layers that decide
    for every pixel. `budgets`: what the network can cost in a call, see `budgets.BudgetSetting`; `calibration_samples`
    gave the thresholds, `samples` judged by the `measure`, `timing` says where. `kernels`, of a network without gates:
    whose were `asked` for and `chosen` (ours, onnxruntime), the `ms` of both if they were timed, and the `layers` in
    ours. `blocks`: node -> the three layers that it computes, see the property. `parent` is empty, or describes the
    network before channels were removed: `layers`, its layer table as JSON, `weights`, "trained" or "untrained", and
    `sizes` where the bundle has some. `files` is filled by BundleWriter. Free-form dictionaries (`made_by`, `device`,
    `method`, `source`, `options`) are carried and shown, never interpreted.
    """

    name: str
    created: str
    target: Mapping[str, str]
    variants: Mapping[str, str]
    input: Mapping[str, Any]
    outputs: Tuple[Output, ...]
    layers: Tuple[Layer, ...]
    gated: Tuple[str, ...]
    dense_macs: int
    dataset: str = ""
    made_by: Mapping[str, str] = field(default_factory=dict)
    device: Mapping[str, Any] = field(default_factory=dict)
    method: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    build: Mapping[str, Any] = field(default_factory=dict)
    parent: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def layer(self, name: str) -> Layer:
        """The row of one layer; KeyError if there is none."""
        return {row.name: row for row in self.layers}[name]

    def names(self) -> Tuple[str, ...]:
        """Names of all layers in execution order."""
        return tuple(row.name for row in self.layers)

    @property
    def output_names(self) -> Tuple[str, ...]:
        """Names of the outputs of the network, without its gates."""
        return tuple(output.name for output in self.outputs)

    @property
    def classes(self) -> Optional[int]:
        """Number of classes of a network with logits [N, classes]; None for any other."""
        return classes_of(self.outputs)

    @property
    def any_size(self) -> bool:
        """Whether images may have another height and width than `input["shape"]`."""
        return bool(self.input.get("any_size", False))

    @property
    def sizes(self) -> Tuple[SizeTable, ...]:
        """The heights and widths that images may have, in the order of the engines' profiles; empty for one or any."""
        return tuple(map(SizeTable.from_json, self.input.get("sizes", ())))

    @property
    def one_size(self) -> bool:
        """Whether all images have the height and width of `input["shape"]`."""
        return not self.any_size and len(self.input.get("sizes", ())) < 2

    @property
    def image_sizes(self) -> Tuple[Size, ...]:
        """Heights and widths of `sizes`, or the one of `input["shape"]`."""
        return tuple(row.size for row in self.sizes) or ((self.input["shape"][1], self.input["shape"][2]),)

    def sizes_of(self, variant: str) -> Tuple[SizeTable, ...]:
        """`sizes` with the layers of a variant: the parent has its own."""
        return tuple(map(SizeTable.from_json, self.parent.get("sizes", ()))) if variant == PARENT else self.sizes

    def at(self, size: Size) -> "Manifest":
        """The manifest with layer tables, MACs and input of images of this size; InputError for one it does not have.

        It describes the same files and keeps the list of sizes.
        """
        own = (self.input["shape"][1], self.input["shape"][2])
        if size == own:
            return self
        tables = {table.size: table for table in self.sizes}
        if size not in tables:
            raise InputError(
                f"{self.name} takes images of {in_words(list(tables) or [own])}, not of {text_of(size)}; choose one of "
                "them, or export it for this size too (--sizes)"
            )
        layers, parent = tables[size].layers_of(self.layers), dict(self.parent)
        for table in self.sizes_of(PARENT):
            if table.size == size:
                parent["layers"] = [row.to_json() for row in table.layers_of(self.parent_layers)]
        return replace(
            self,
            input={**self.input, "shape": [self.input["shape"][0], *size]},
            layers=layers,
            dense_macs=dense_macs(layers),
            parent=parent,
        )

    @property
    def main(self) -> str:
        """The variant that is the network as trained: "gated", or "dense" for a network without gates."""
        return GATED if self.gated else DENSE

    @property
    def baseline(self) -> str:
        """The variant that the main one is compared with; "dense" of an int8 bundle is one of bytes too."""
        return PARENT if PARENT in self.variants else DENSE

    @property
    def measured(self) -> Tuple[str, ...]:
        """The variants that `profile` compares, baseline first; one alone for a network without gates and parent."""
        return tuple(name for name in MEASURED if name in self.variants)

    @property
    def all_variants(self) -> Tuple[str, ...]:
        """Every variant of the bundle, the network as trained first and its parent last."""
        return tuple(name for name in ALL_VARIANTS if name in self.variants)

    @property
    def parent_layers(self) -> Tuple[Layer, ...]:
        """The layer table of the parent; empty if the bundle has none."""
        return tuple(Layer.from_json(row) for row in self.parent.get("layers", ()))

    @property
    def full_macs(self) -> int:
        """MACs of the baseline: of the parent if there is one, else of this network without gates."""
        return dense_macs(self.parent_layers) if self.parent else self.dense_macs

    def layers_of(self, variant: str) -> Tuple[Layer, ...]:
        """The layer table of a variant: the parent has its own."""
        return self.parent_layers if variant == PARENT else self.layers

    @property
    def precision(self) -> str:
        """Type of feature maps and weights: "fp32", "fp16" or "int8"."""
        return str(self.build.get("precision", "fp32"))

    @property
    def rounded(self) -> Mapping[str, float]:
        """Layer whose weights were rounded to bfloat16 -> RMS of their changes over that of the weights."""
        row: Mapping[str, float] = self.build.get("bf16_weights", {}).get("layers", {})
        return row

    @property
    def int8(self) -> Mapping[str, Any]:
        """How an int8 bundle was made; empty for any other.

        `calibration` (method), `calibration_samples`, `max_drop`; `check`: accuracies `before` and `after` on `samples`
        that were held back, the share of the `same` predictions, `gates` by layer; `layers`: int8 ones, with `x`
        and `y` (step, zero point), `weights` (smallest and largest step), `error` (what it alone changes in the
        logits, relative) and `snr_db`; `byte_gates`: layers whose gate reads bytes; `float32`: the other
        convolutions, and why. Layers without a gate are among both.
        """
        row: Mapping[str, Any] = self.build.get(INT8, {})
        return row

    def rounding_of(self, variant: str) -> Mapping[str, float]:
        """Layer -> relative error that rounding in it causes in the logits of a variant; empty for exact layers."""
        if variant in (FLOAT_DENSE, FLOAT_GATED):
            return {}
        return self.rounded or {name: row["error"] for name, row in self.int8.get("layers", {}).items()}

    @property
    def fold(self) -> Mapping[str, Any]:
        """What was folded at compilation, by gated layer of the network before; empty if nothing was.

        A row has `before` (channels), `kept` (their indices), `gate` ("stays", "dropped" or "fixed"), `scale` of the
        kept channels where the gate has gone, and `reason`.
        """
        row: Mapping[str, Any] = self.build.get("fold", {}).get("layers", {})
        return row

    @property
    def pixel_gated(self) -> Tuple[str, ...]:
        """Layers that decide for every output pixel; their open pixels are not recorded, so they are counted dense."""
        return tuple(self.build.get("pixel_gated", ()))

    @property
    def budgets(self) -> Tuple[BudgetSetting, ...]:
        """What the network can cost in a call, 1.0 (as trained) first; empty if it was compiled without --budgets."""
        return settings_of(self.build.get("budgets", {}))

    @property
    def our_layers(self) -> Tuple[str, ...]:
        """Layers of a network without gates that our kernels compute because `compile` was asked so."""
        return tuple(self.build.get("kernels", {}).get("layers", ()))

    @property
    def blocks(self) -> Mapping[str, Tuple[str, ...]]:
        """Node -> expansion, depthwise layer and projection, of every inverted residual block that is one node.

        Empty if there is none, and for bundles of versions that had no such nodes.
        """
        return {node: tuple(layers) for node, layers in self.build.get("blocks", {}).items()}

    def blocks_of(self, variant: str) -> Mapping[str, Tuple[str, ...]]:
        """`blocks` of a variant: those of standard operators have none."""
        return self.blocks if variant in BLOCK_VARIANTS else {}

    @property
    def engines_built(self) -> bool:
        """True if the bundle can run: a TensorRT bundle that was compiled elsewhere has no engines yet."""
        return self.target["backend"] != TENSORRT or "engines" in self.build

    @property
    def masked(self) -> Tuple[str, ...]:
        """Layers whose output channels can be closed: those with a gate, and those that follow one."""
        return tuple(row.name for row in self.layers if row.masked)

    @property
    def native(self) -> FrozenSet[str]:
        """Masked layers that were compiled to standard operators of the backend instead of our kernel."""
        return frozenset(self.masked) - frozenset(self.build.get("plugin_layers", self.masked))

    @property
    def gate_kernels(self) -> bool:
        """True if the channel gates run in our kernel: unless every layer is native."""
        return bool(frozenset(self.masked) - self.native)

    def with_files(self, files: Mapping[str, FileEntry]) -> "Manifest":
        """A copy that lists these files."""
        return replace(self, files=dict(files))

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON, the inverse of `manifest_reading.from_json`, with a checksum of its own."""
        row: Dict[str, Any] = dict(self.__dict__)
        row["layers"] = [layer.to_json() for layer in self.layers]
        row["files"] = {name: dict(entry.__dict__) for name, entry in sorted(self.files.items())}
        row.update(outputs=[output.to_json() for output in self.outputs], gated=list(self.gated))
        row[CHECKSUM] = checksum(row)
        return row

    def dumps(self) -> str:
        """The text of manifest.json."""
        return json.dumps(self.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"


def checksum(row: Mapping[str, Any]) -> str:
    """Hash of the values, not of the text: white space and the order of keys do not matter."""
    content = {key: value for key, value in row.items() if key != CHECKSUM}
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise InputError(f"{MANIFEST_FILE} holds NaN or infinity, expected numbers that JSON has; {REPAIR}") from error
    return hashlib.sha256(text.encode()).hexdigest()
