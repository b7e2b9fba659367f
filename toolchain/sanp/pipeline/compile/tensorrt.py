"""The TensorRT half of `sanp compile`: copies of the variants, the choice per layer, what a device needs to finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from sanp.pipeline.compile.build_recipe import recipe
from sanp.pipeline.compile.device_files import device_archive, plugin_sources
from sanp.pipeline.compile.plugin_choice import Choice, Evidence, choose, densities, read_layer_times
from sanp_export.tensorrt import Precision, TensorrtOptions, convert, single_nodes
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import DEVICE_ARCHIVE, RECIPE_FILE, SOURCES_FILE
from sanp_runtime.engines.tensorrt.tools import has_package
from sanp_runtime.engines.tensorrt.versions import gpu
from sanp_runtime.network.layers import Layer
from sanp_targets.errors import ConfigError, TargetError
from sanp_targets.targets import Gpu, Target, host_arch


@dataclass(frozen=True)
class TensorrtSettings:
    """precision: "fp32" or "fp16"; plugin_layers: "auto", "all", "none" or names; batch sizes of the engines.

    layer_times: a profile from the device that decides instead of the model.
    """

    precision: Precision = "fp32"
    plugin_layers: str = "auto"
    opt_batch: int = 1
    max_batch: int = 64
    layer_times: Path | None = None

    def check(self) -> None:
        """Raise ConfigError for values that contradict each other."""
        if self.precision not in ("fp32", "fp16"):
            raise ConfigError(f"precision is {self.precision!r}, expected fp32 or fp16; choose one of them")
        if not 1 <= self.opt_batch <= self.max_batch:
            raise ConfigError(
                f"batch sizes are {self.opt_batch} (opt) and {self.max_batch} (max), expected 1 <= opt <= max; correct "
                "--opt-batch or --max-batch"
            )


def choices(
    layers: Sequence[Layer], reference: Reference | None, target: Target, settings: TensorrtSettings
) -> list[Choice]:
    """The kernel of every gated layer; see `sanp.pipeline.compile.plugin_choice`."""
    measured = {} if settings.layer_times is None else read_layer_times(settings.layer_times, target.name)
    known = densities(layers, reference)
    evidence = Evidence(target.gpu or Gpu(), settings.precision, settings.opt_batch, known, measured)
    return choose(layers, settings.plugin_layers, evidence)


def convert_all(
    models: Mapping[str, onnx.ModelProto], picked: Sequence[Choice], settings: TensorrtSettings
) -> tuple[dict[str, onnx.ModelProto], dict[str, Any]]:
    """TensorRT copies of the four variants, and `Manifest.build`, which says how to make engines of them."""
    plugin = frozenset(choice.layer for choice in picked if choice.plugin)
    copies = {name: convert(model, TensorrtOptions(settings.precision, plugin)) for name, model in models.items()}
    build: dict[str, Any] = {
        "precision": settings.precision,
        "plugin_layers": [choice.layer for choice in picked if choice.plugin],
        "batch": {"min": 1, "opt": settings.opt_batch, "max": settings.max_batch},
    }
    if settings.precision == "fp16":
        build["single_nodes"] = {name: single_nodes(copy) for name, copy in copies.items()}
    return copies, build


def device_files(manifest: Manifest, target: Target) -> dict[str, bytes]:
    """Name -> content of the files that finish the work on the device."""
    files = {DEVICE_ARCHIVE: device_archive(), RECIPE_FILE: recipe(manifest, target.gpu or Gpu()).encode()}
    if manifest.gate_kernels:
        files[SOURCES_FILE] = plugin_sources()
    return files


def builds_here(target: Target) -> str | None:
    """None if this machine can build the engines of a target, else the reason why it cannot."""
    if target.arch != host_arch():
        return f"this machine is {host_arch()}, the target is {target.arch}"
    if not has_package():
        return "TensorRT's Python package is not installed here"
    try:
        found = gpu()
    except TargetError as error:
        return str(error)
    expected = (target.gpu or Gpu()).sm
    if expected is not None and str(expected) != found["sm"]:
        return f"this GPU is {found['gpu']} (sm_{found['sm']}), the target has sm_{expected}"
    return None
