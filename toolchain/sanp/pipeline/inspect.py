"""`sanp inspect`: what is in a checkpoint, an exported model or a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.contract import (
    CONV_SUFFIX,
    INPUT,
    PIXEL_GATED_CONV,
    RECIPE_FILE,
    gate_output,
    mask_input,
    threshold_input,
)
from sanp_runtime.network.blocks import Blocks, blocks_note
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import dense_macs, spm_macs
from sanp_runtime.network.sizes import text_of
from sanp_runtime.network.support import gates_of
from sanp_runtime.profile.kernels_note import kernels_note
from sanp_targets.errors import InputError


def inspect(path: str | Path) -> dict[str, Any]:
    """Describe a file: kind, layers with their gates and MACs, inputs and outputs, origin.

    Raises InputError if the path is neither a bundle directory, an ONNX model of ours nor a checkpoint.
    """
    path = Path(path)
    if path.is_dir():
        return _bundle(path)
    if path.suffix == ".onnx":
        return _model(path)
    if path.suffix == ".safetensors":
        return _checkpoint(path)
    found = "does not exist" if not path.exists() else f"has the suffix {path.suffix!r}"
    raise InputError(f"{path}: {found}, expected a .safetensors checkpoint, an .onnx model or a bundle directory")


def _bundle(path: Path) -> dict[str, Any]:
    manifest = open_bundle(path).manifest
    return {
        "kind": "bundle",
        "name": manifest.name,
        "inputs": {
            manifest.input["name"]: ["N", *_image(manifest.input["shape"], manifest.one_size)],
            **_masks(manifest.layers),
            **{threshold_input(name): [1] for row in manifest.budgets[:1] for name in row.thresholds},
        },
        "outputs": {
            **{output.name: ["N", *output.shape] for output in manifest.outputs},
            **{gate_output(name): ["N", manifest.layer(name).c_out] for name in manifest.gated},
        },
        "about": {
            "target": manifest.target["name"],
            "created": manifest.created,
            "method": manifest.method.get("name", ""),
            "dataset": manifest.dataset,
            "variants": ", ".join(manifest.variants),
            **({"precision": manifest.precision} if manifest.int8 else {}),
            **({"sizes": _sizes(manifest)} if manifest.sizes else {}),
            **({"parent_macs": manifest.full_macs} if manifest.parent else {}),
            **_pixels(manifest.pixel_gated),
            **({"blocks": blocks} if (blocks := blocks_note(len(manifest.blocks))) else {}),
            **({"kernels": kernels} if (kernels := kernels_note(manifest)) else {}),
            **_engines(manifest),
            "files": {name: entry.size for name, entry in manifest.files.items()},
        },
        "choices": dict(manifest.options.get("choices", {})),
        "tuning": manifest.options.get("tuning"),
        "fold": manifest.build.get("fold"),
        "int8": dict(manifest.int8) or None,
        "budgets": manifest.build.get("budgets"),
        **_layers(manifest.layers, manifest.blocks),
    }


def _image(shape: Sequence[int], one_size: bool) -> list[int | str]:
    """[C, H, W] of the images, with letters where they vary."""
    return [shape[0], *(shape[1:] if one_size else ("H", "W"))]


def _sizes(manifest: Manifest) -> dict[str, str]:
    """Height and width of the images -> MACs without gates."""
    return {text_of(size): f"{manifest.at(size).dense_macs:,} dense MACs" for size in manifest.image_sizes}


def _pixels(layers: Sequence[str]) -> dict[str, Any]:
    """Layers that decide for every pixel, and what their MACs in the table are."""
    return {"gated_pixels": {"layers": list(layers), "macs": "as if every pixel were open"}} if layers else {}


def _engines(manifest: Manifest) -> dict[str, Any]:
    """Precision, batch sizes and, once there are engines, what they were built with; ONNX Runtime: rounded layers."""
    build = manifest.build
    if "batch" not in build:
        return {"bf16_weights": ", ".join(manifest.rounded)} if manifest.rounded else {}
    engines = f"not built yet; {RECIPE_FILE} says how" if "engines" not in build else dict(build["fingerprint"])
    return {"precision": manifest.precision, "batch": dict(build["batch"]), "engines": engines}


def _model(path: Path) -> dict[str, Any]:
    from sanp_export.graph import model_file

    model = model_file.read(path)
    layers = model_file.layers_of(model)
    return {
        "kind": "model",
        "name": path.name,
        "inputs": {value.name: _shape(value) for value in model.graph.input},
        "outputs": {value.name: _shape(value) for value in model.graph.output},
        "about": {
            "gates": model_file.metadata_of(model)["sanp.gates"],
            **({"sizes": sizes} if (sizes := [text_of(row.size) for row in model_file.sizes_of(model)]) else {}),
            "ir_version": model.ir_version,
            "opset": {item.domain or "ai.onnx": item.version for item in model.opset_import},
            "functions": [function.name for function in model.functions],
            **({"int8_ranges": ranges} if (ranges := model_file.ranges_of(model)) else {}),
            **_pixels(
                [node.name.removesuffix(CONV_SUFFIX) for node in model.graph.node if node.op_type == PIXEL_GATED_CONV]
            ),
        },
        **_layers(layers),
    }


def _checkpoint(path: Path) -> dict[str, Any]:
    from sanp import checkpoint
    from sanp.cost.pixels import pixel_layers
    from sanp.cost.tracker import CostTracker

    loaded = checkpoint.load(path)
    layers = CostTracker(loaded.model, loaded.example_input).layers
    pixels = list(pixel_layers(loaded.model))
    return {
        "kind": "checkpoint",
        "name": loaded.config.model if loaded.config else type(loaded.model).__name__,
        "inputs": {INPUT: ["N", *loaded.example_input.shape[1:]]},
        "outputs": _answers(loaded),
        "about": {
            "dataset": loaded.dataset_name,
            "config": loaded.config.model_dump(mode="json") if loaded.config else None,
            "metadata": loaded.metadata,
            **_pixels(pixels),
        },
        **_layers(layers),
    }


def _answers(loaded: Any) -> dict[str, list[int | str]]:
    """The outputs of the network in a checkpoint."""
    import torch

    from sanp_export.named_outputs import named_outputs

    with torch.no_grad():
        found = named_outputs(loaded.model.cpu().eval()(loaded.example_input))
    return {name: ["N", *value.shape[1:]] for name, value in found.items()}


def _shape(value: Any) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _masks(layers: tuple[Layer, ...]) -> dict[str, list[int | str]]:
    return {mask_input(layer.name): ["1 or N", layer.c_out] for layer in layers if layer.gated}


def _layers(layers: tuple[Layer, ...], blocks: Blocks | None = None) -> dict[str, Any]:
    """The table; `block` of a row is the node that computes the layer with others, None for one by itself."""
    inside = {name: node for node, names in (blocks or {}).items() for name in names}
    rows = [
        {
            "name": layer.name,
            "channels": [layer.c_in, layer.c_out],
            "kernel": list(layer.kernel),
            "groups": layer.groups,
            "output": list(layer.out_hw),
            "gated": layer.gated,
            "follows": [] if layer.follows is None else list(gates_of(layer.follows)),
            "block": inside.get(layer.name),
            "macs": dense_macs((layer,)),
            "gate_macs": spm_macs(layer),
            "input_gates": list(gates_of(layer.support)),
        }
        for layer in layers
    ]
    return {
        "layers": rows,
        "gated_layers": sum(layer.gated for layer in layers),
        "dense_macs": dense_macs(layers),
        "gate_macs": sum(spm_macs(layer) for layer in layers),
    }
