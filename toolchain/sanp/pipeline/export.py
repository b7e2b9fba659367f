"""`sanp export`: a checkpoint or a network to one ONNX file, with PyTorch's answers and its parent beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sanp import checkpoint, data
from sanp.gating.prepare import float32_surroundings, prepared
from sanp.pipeline.outputs import check_outputs
from sanp.pipeline.parent import Parent, parent_of, parent_path
from sanp.pipeline.reference import pytorch_answers, with_sizes
from sanp.pipeline.same_layers import check_same_layers
from sanp.settings.export import ExportSettings
from sanp.settings.train import TrainSettings
from sanp_export.exporter import bytes_of, check_example
from sanp_export.exporter import export as export_onnx
from sanp_export.graph import model_file, weight_files
from sanp_export.named_outputs import check_outputs as checked_outputs
from sanp_export.named_outputs import named_outputs
from sanp_export.open_size import ExportOptions, check_options, size_of
from sanp_runtime.bundle.files import Content, write_together
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import PIXEL_GATED_CONV
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import dense_macs
from sanp_runtime.network.outputs import Output
from sanp_targets.errors import ConfigError, ExportError

_MOST_BYTES = 2**30  # of images at once, where nobody says how many samples are to be compared


@dataclass(frozen=True)
class Exported:
    """What `export` wrote: the model, PyTorch's answers on a few real samples (or None), and the layer table.

    parent: the model of the network before channels were removed, None where there is none. pixel_gated: layers that
    decide for every pixel.
    """

    path: Path
    reference: Path | None
    layers: tuple[Layer, ...]
    parent: Path | None = None
    pixel_gated: int = 0

    @property
    def dense_macs(self) -> int:
        """MACs of the network without gates."""
        return dense_macs(self.layers)


def reference_path(path: Path) -> Path:
    """Where the answers of a model are kept: `model.reference.npz` beside `model.onnx`."""
    return path.with_name(f"{path.stem}.reference.npz")


def export(
    source: str | Path | nn.Module,
    path: str | Path,
    settings: ExportSettings | None = None,
    *,
    example_input: Tensor | None = None,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    parent_model: nn.Module | None = None,
    **keywords: Any,
) -> Exported:
    """Export a checkpoint (its path) or a network to `path`.

    Settings are an object or its fields as keywords: `export(net, "net.onnx", gates="mask")`. `samples` test images,
    spread evenly over the test split, go into the answers file, 0 for none; a bundle needs them for its self-test and
    for profiling on real data. For a network of your own pass `example_input` [N, C, H, W] and, for the answers,
    `images` (float32, normalised) and, as far as you know them, `labels`: integers [N] for classes, other numbers
    [N, ...] for a metric of yours.

    A network without gates that has fewer channels than its backbone gets the backbone written beside it, to be
    measured with it: the checkpoint `parent` of the settings, else dense.safetensors beside the checkpoint, else the
    backbone with random weights (latency does not depend on them). For a network of your own pass `parent_model`.
    Raises InputError for a damaged checkpoint or answers that are not finite, ExportError for a network that cannot be
    exported, answers its example with NaN, or whose layers are not counted alike by training and in the file,
    ConfigError for a folder that cannot be written, and for a model that exists, unless `replace`.
    """
    chosen = ExportSettings.chosen(settings, keywords)
    with float32_surroundings():
        return _export(source, Path(path), chosen, example_input, images, labels, parent_model)


def _export(
    source: str | Path | nn.Module,
    path: Path,
    chosen: ExportSettings,
    example_input: Tensor | None,
    images: np.ndarray | None,
    labels: np.ndarray | None,
    parent_model: nn.Module | None,
) -> Exported:
    if path.suffix != ".onnx":
        raise ConfigError(f"{path}: the name of a model ends in .onnx; choose another name")
    check_outputs([path, reference_path(path), parent_path(path)], chosen.replace)
    beside = [model_file.weights_path(place) for place in (path, parent_path(path))]
    check_outputs(beside, chosen.replace)
    if isinstance(source, nn.Module):
        if example_input is None:
            raise ConfigError("a network of your own is exported without example_input; pass one of shape [N, C, H, W]")
        # A copy: the caller's network keeps its mode, its type and its device.
        model, example = prepared(source), example_input.float()
        properties = {"name": type(model).__name__}
        parent = None if parent_model is None else Parent(prepared(parent_model), "trained")
    else:
        loaded = checkpoint.load(source, chosen.model, chosen.model_args)
        model, example, properties = loaded.model, loaded.example_input, _describe(Path(source), loaded)
        parent = parent_of(Path(source), loaded, chosen.parent)
        if chosen.samples and loaded.has_data and images is None:
            images, labels = test_samples(loaded, chosen.samples, chosen.data_root)
    ranges = {} if isinstance(source, nn.Module) else loaded.metadata.get("int8", {}).get("ranges", {})
    options = ExportOptions(chosen.gates, True, chosen.macs, chosen.inline, chosen.dynamic_size, chosen.sizes)
    check_example(example)
    check_options(options, size_of(example))
    answers = None
    if images is not None and chosen.gates == "learned":
        images = _checked(images, example)
        answers = with_sizes(pytorch_answers(model, images, labels), model, chosen.sizes)
    with weight_files.in_files(_folder_of_weights(path, [model, *([parent.model] if parent else [])])):
        return _write(path, model, example, options, properties, answers, parent, ranges)


def _folder_of_weights(path: Path, networks: Sequence[nn.Module]) -> Path | None:
    """The folder of the model, if its weights or those of its parent are more than one file can hold."""
    if max(map(bytes_of, networks)) <= weight_files.MOST_BYTES:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path.parent}: cannot be made ({error.strerror}); choose another folder") from error
    return path.parent


def test_samples(
    loaded: checkpoint.Checkpoint, count: int | None, data_root: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the test split a checkpoint was made for: all, or `count` spread evenly over it."""
    split, rows = test_rows(loaded, count, data_root)
    return split.take(rows)


def test_rows(
    loaded: checkpoint.Checkpoint, count: int | None, data_root: Path | None = None
) -> tuple[data.Split | data.StreamedSplit, np.ndarray]:
    """The test split a checkpoint was made for, and its rows: all, or `count` spread evenly over it.

    Of a data set on disk that is larger than memory may be, not all but as many as take a gigabyte.
    """
    root = data_root or (loaded.config.data_root if loaded.config else None)
    split = data.load(loaded.dataset_name, root, loaded.image_size, **loaded.dataset_options).test
    if count is None and isinstance(split, data.StreamedSplit):
        count = _MOST_BYTES // (4 * loaded.example_input[0].numel())
    if count is None or count >= len(split):
        return split, np.arange(len(split))
    return split, np.linspace(0, len(split) - 1, count).round().astype(int)


def _checked(images: np.ndarray, example: Tensor) -> np.ndarray:
    """Images of the network's own shape, float32; ConfigError if they do not fit."""
    expected = tuple(example.shape[1:])
    if images.ndim != 4 or images.shape[1:] != expected or not len(images):
        raise ConfigError(
            f"images have shape {images.shape}, expected (N, {', '.join(map(str, expected))}); pass samples as the "
            "network takes them"
        )
    return np.ascontiguousarray(images, dtype=np.float32)


def _describe(path: Path, loaded: checkpoint.Checkpoint) -> dict[str, Any]:
    config = loaded.config
    gating = getattr(loaded.model, "gating", None)
    return {
        "name": config.backbone if config else type(loaded.model).__name__,
        "dataset": loaded.dataset_name,
        "method": _method(config, gating),
        "normalisation": {key: loaded.metadata[key] for key in ("mean", "std") if key in loaded.metadata},
        "checkpoint_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _method(config: TrainSettings | None, gating: Any) -> dict[str, Any]:
    """The method behind the gates, or the one that a network without gates was trained by."""
    if gating is not None:
        return {"name": gating.method, "options": gating.options}
    return {} if config is None else {"name": config.method, "options": dict(config.options)}


def _write(
    path: Path,
    model: nn.Module,
    example: Tensor,
    options: ExportOptions,
    properties: dict[str, Any],
    answers: Reference | None,
    parent: Parent | None,
    ranges: dict[str, Any],
) -> Exported:
    """Write what belongs to the model first and the model last: it always finds what its metadata names."""
    beside = reference_path(path)
    content = answers.dumps() if answers is not None else None
    written: dict[Path, Content] = {}
    outputs = _outputs(model, example)
    if content is not None:
        written[beside] = content
    properties = {**properties, "reference_sha256": _sha256(content)}
    if parent is not None:
        files = parent.export(example, outputs, options, parent_path(path))
        properties["parent"] = {"sha256": _sha256(files[parent_path(path)]), "weights": parent.weights}
        written.update(files)
    metadata = {"sanp.properties": json.dumps(properties, sort_keys=True)}
    if ranges:
        metadata[model_file.RANGES_KEY] = json.dumps(ranges, sort_keys=True)
    proto = export_onnx(model, example, options, metadata)
    check_same_layers(model, example.cpu(), model_file.layers_of(proto))
    # All or none: what a kill between the renames leaves, `compile` refuses by the checksums in the model.
    written.update(model_file.files_of(proto, path))
    write_together(written)
    for stale in {model_file.weights_path(place) for place in (path, parent_path(path))} - set(written):
        stale.unlink(missing_ok=True)  # of a larger model that this one has replaced
    reference = beside if content is not None else None
    pixels = sum(node.op_type == PIXEL_GATED_CONV for node in proto.graph.node)
    place = parent_path(path) if parent is not None else None
    return Exported(path, reference, model_file.layers_of(proto), place, pixels)


def _sha256(content: Content | None) -> str | None:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else None


def _outputs(model: nn.Module, example: Tensor) -> tuple[Output, ...]:
    """The outputs of a network; ExportError unless they are float32 [N, ...], and finite for a finite example."""
    check_example(example)
    name = type(model).__name__
    with torch.no_grad():
        found = named_outputs(model.cpu().eval()(example.cpu()))
    outputs = checked_outputs(found, len(example), name)
    bad = [key for key, value in found.items() if not torch.isfinite(value).all()]
    if torch.isfinite(example).all() and bad:
        raise ExportError(
            f"{name} answers its example input with NaN or infinity in the output {bad[0]}, expected finite numbers; "
            "the network comes from a diverged run or the example is not normalised: train again, or pass real samples"
        )
    return outputs
