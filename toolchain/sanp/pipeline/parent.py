"""The network before channels were removed: where it comes from, and its file beside the exported model.

A network without gates has no dense variant of its own to be compared with. Its parent is what it was made from.
Latency does not depend on weights, so a backbone whose weights are not at hand is measured with random ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sanp import checkpoint, models
from sanp.checkpoint.architecture import describe
from sanp.settings.train import is_custom
from sanp_export.exporter import export as export_onnx
from sanp_export.graph import model_file
from sanp_export.named_outputs import check_outputs as checked_outputs
from sanp_export.named_outputs import named_outputs
from sanp_export.open_size import ExportOptions
from sanp_runtime.bundle.files import Content
from sanp_runtime.network.outputs import Output, in_words
from sanp_targets.errors import ConfigError, InputError

_BESIDE = "dense.safetensors"  # what training keeps of the backbone


@dataclass(frozen=True, eq=False)
class Parent:
    """A network without gates. weights: "trained" or "untrained"."""

    model: nn.Module
    weights: str

    def export(
        self, example: Tensor, outputs: Sequence[Output], options: ExportOptions, path: Path
    ) -> dict[Path, Content]:
        """What to write for it at `path`; ConfigError unless it maps the example [N, C, H, W] to these outputs.

        options: of the network that was made from it; the sizes of images are the same.
        """
        self.model.cpu().eval()
        try:
            with torch.no_grad():
                found = checked_outputs(named_outputs(self.model(example.cpu())), len(example), "the parent")
        except RuntimeError as error:
            raise ConfigError(
                f"the parent does not take images {tuple(example.shape[1:])} ({str(error).splitlines()[0]}), expected "
                "the network that channels were removed from; name another checkpoint with --parent"
            ) from error
        if found != tuple(outputs):
            raise ConfigError(
                f"the parent answers with {in_words(found)}, expected {in_words(outputs)}; name the network that "
                "channels were removed from with --parent"
            )
        sizes = ExportOptions(dynamic_size=options.dynamic_size, sizes=options.sizes)
        return model_file.files_of(export_onnx(self.model, example, sizes), path)


def parent_path(path: Path) -> Path:
    """Where the parent of a model is kept: `model.parent.onnx` beside `model.onnx`."""
    return path.with_name(f"{path.stem}.parent.onnx")


def parent_of(path: Path, loaded: checkpoint.Checkpoint, named: Path | None) -> Parent | None:
    """The parent of a checkpoint read from `path`; None for a gated network, unless one is named, and for a whole one.

    named: its checkpoint. Raises InputError if that is damaged, ConfigError if it has gates or other classes.
    """
    if named is not None:
        return Parent(_ungated(named), "trained")
    if loaded.config is None or is_custom(loaded.config.model) or getattr(loaded.model, "gating", None) is not None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        whole = models.build(**checkpoint.backbone_of(loaded.config, _classes(loaded), loaded.in_channels))
    widths = describe(whole)["widths"]
    if describe(loaded.model)["widths"] == widths:
        return None
    beside = path.with_name(_BESIDE)
    if beside.is_file():
        try:
            found = _ungated(beside)
        except (ConfigError, InputError):
            return Parent(whole, "untrained")
        if describe(found)["widths"] == widths:
            return Parent(found, "trained")
    return Parent(whole, "untrained")


def _ungated(path: Path) -> nn.Module:
    model = checkpoint.load(path).model
    if getattr(model, "gating", None) is not None:
        raise ConfigError(f"{path}: has gates, expected the network before channels were removed; name its checkpoint")
    return model


def _classes(loaded: checkpoint.Checkpoint) -> int:
    with torch.no_grad():
        return int(loaded.model.cpu().eval()(loaded.example_input).shape[1])
