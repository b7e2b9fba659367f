"""The commands that make these numbers again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def data(results: Mapping[str, Any]) -> dict[str, Any]:
    """One line per command."""
    return {"commands": _commands(results["profile"], results["bundle"])}


def _commands(profile: Mapping[str, Any], bundle: Mapping[str, Any]) -> list[str]:
    settings = profile["settings"]
    folder = "model.sanp"
    return [
        f"sanp compile model.onnx -o {folder} --target {bundle['target']['name']}{engine_options(bundle)}",
        f"sanp validate {folder} --checkpoint checkpoint.safetensors --json > validation.json",
        f"sanp profile {folder} --threads {settings['threads']} --batch {settings['batch']} "
        f"--duration {settings['duration_s']:g}{_size(settings)} -o profile.json",
        f"sanp report {folder} --profile profile.json --validation validation.json -o report",
    ]


def _size(settings: Mapping[str, Any]) -> str:
    return " --size {}x{}".format(*size) if (size := settings.get("size")) else ""


def engine_options(bundle: Mapping[str, Any]) -> str:
    """The options that shaped TensorRT's engines, or the weights and kernels for ONNX Runtime."""
    build = bundle.get("build") or {}
    if "batch" not in build:
        tuned = " --tune" if "tuning" in bundle["options"] else ""
        apart = f" --blocks {bundle['options']['blocks']}" if "blocks" in bundle["options"] else ""
        return tuned + (" --bf16-weights" if "bf16_weights" in build else "") + apart
    layers, batch = bundle["options"].get("plugin_layers", "auto"), build["batch"]
    return (
        f" --precision {build['precision']} --plugin-layers {layers}"
        f" --opt-batch {batch['opt']} --max-batch {batch['max']}"
    )
