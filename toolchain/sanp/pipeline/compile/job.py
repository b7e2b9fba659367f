"""What is compiled for which target, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import onnx

from sanp.settings.compile import CompileSettings
from sanp_export.variants import share_weights
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import CONV_SUFFIX, PIXEL_GATED_CONV, WEIGHTS_FILE
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.proof import Proof
from sanp_targets.targets import Target

Log = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """model: the exported model; answers: PyTorch's, if there are any; parent: the network it was made from, if known.

    described: what the manifest says before a backend has decided anything; `finished` adds the decisions. fold: what
    was folded before, empty if nothing was.
    """

    model: onnx.ModelProto
    target: Target
    settings: CompileSettings
    answers: Reference | None
    described: Manifest
    parent: onnx.ModelProto | None = None
    fold: Mapping[str, Any] = field(default_factory=dict)

    def finished(self, options: Mapping[str, Any], build: Mapping[str, Any]) -> Manifest:
        """The manifest with what was asked and decided (options) and how engines are made (build)."""
        asked = {"target": self.settings.target, "allow_modified": self.settings.allow_modified}
        pixels = [
            node.name.removesuffix(CONV_SUFFIX) for node in self.model.graph.node if node.op_type == PIXEL_GATED_CONV
        ]
        found = {**({"fold": dict(self.fold)} if self.fold else {}), **({"pixel_gated": pixels} if pixels else {})}
        return replace(self.described, options={**asked, **options}, build={**build, **found})

    def add_common(self, writer: BundleWriter, models: Mapping[str, onnx.ModelProto]) -> None:
        """Add what every bundle holds: the variants over one file of weights, and the answers."""
        files, weights = share_weights(models)
        for name, content in files.items():
            writer.add_bytes(self.described.variants[name], content)
        writer.add_bytes(WEIGHTS_FILE, weights.write)
        if self.answers is not None:
            writer.add_reference(self.answers)


@dataclass(frozen=True)
class Compiled:
    """What `compile_model` made. proof: None without gates, and for engines that are yet to be built on the device.

    record: what was decided, for people and logs, as far as it was asked for: `choices` and `plugin_layers` (TensorRT),
    `tuning`, `kernels`, `bf16_weights`, `int8`, `budgets` (ONNX Runtime), `fold`; `self_test`, the validation on the
    board of --host (ONNX Runtime); and, if there are any, `losing_gates`, and `blocks_apart`, the
    projections whose gates keep their blocks from being one node.
    """

    bundle: Bundle
    proof: Proof | None
    record: dict[str, Any]


def compiled(bundle: Bundle, proof: Proof | None) -> Compiled:
    """The result, with the record read from what the manifest keeps."""
    kept = {**bundle.manifest.options, **bundle.manifest.build}
    names = ("choices", "plugin_layers", "tuning", "kernels", "bf16_weights", "int8", "fold", "budgets")
    record = {name: kept[name] for name in names if name in kept}
    if "plugin_layers" in record:
        record["plugin_layers"] = bundle.manifest.options["plugin_layers"]  # as asked for; build has the names
    return Compiled(bundle, proof, record)


def prove(bundle: Bundle) -> Proof:
    """Run the gated variant of a bundle once and tell which layers ran in our kernels."""
    with load_bundle(bundle) as engine:
        return engine.proof()
