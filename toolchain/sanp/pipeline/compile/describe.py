"""What a manifest says about a model and its target before a backend has decided anything."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import onnx

from sanp_export.graph import model_file
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.contract import INPUT, MACS, variant_file, variants_of
from sanp_runtime.network.macs import dense_macs
from sanp_targets.device import fingerprint
from sanp_targets.targets import Target

_PACKAGES = ("sanp-toolchain", "torch", "onnx", "onnx-graphsurgeon", "onnxruntime", "numpy")


def describe(path: Path, model: onnx.ModelProto, target: Target, parent: onnx.ModelProto | None = None) -> Manifest:
    """The manifest of an exported model, read from `path`, and of its parent, without options, build and files."""
    layers = model_file.layers_of(model)
    gated = tuple(layer.name for layer in layers if layer.gated)
    properties = properties_of(model)
    image = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    return Manifest(
        name=properties.get("name", path.stem),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        target={"name": target.name, "backend": target.backend, "arch": target.arch},
        variants={name: variant_file(name) for name in variants_of(bool(gated), parent is not None)},
        input={
            "name": INPUT,
            "shape": image,
            "dtype": "float32",
            "normalisation": properties.get("normalisation", {}),
        },
        outputs=tuple(value.name for value in model.graph.output if value.name != MACS),
        layers=layers,
        gated=gated,
        dense_macs=dense_macs(layers),
        classes=properties.get("classes", layers[-1].c_out),
        dataset=properties.get("dataset", ""),
        made_by=_package_versions(),
        device=fingerprint(),
        method=properties.get("method", {}),
        source={
            "onnx_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "checkpoint_sha256": properties.get("checkpoint_sha256"),
        },
        parent={} if parent is None else _parent(parent, properties["parent"]["weights"]),
    )


def _parent(model: onnx.ModelProto, weights: str) -> dict[str, Any]:
    return {"layers": [layer.to_json() for layer in model_file.layers_of(model)], "weights": weights}


def properties_of(model: onnx.ModelProto) -> dict[str, Any]:
    """What the exporter knew about the model beyond its graph."""
    properties: dict[str, Any] = json.loads(model_file.metadata_of(model).get("sanp.properties", "{}"))
    return properties


def _package_versions() -> dict[str, str]:
    """Versions of the packages that shape a result; "absent" for one that is not installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
