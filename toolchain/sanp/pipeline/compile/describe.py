"""What a manifest says about a model and its target before a backend has decided anything."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

import onnx

from sanp_export.graph import model_file
from sanp_runtime.bundle.json_text import parse_json
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.contract import INPUT, variant_file, variants_of
from sanp_runtime.engines.onnxruntime import distribution
from sanp_runtime.network.macs import dense_macs
from sanp_targets.device import fingerprint
from sanp_targets.errors import InputError
from sanp_targets.targets import Target

_PACKAGES = ("sanp-toolchain", "torch", "onnx", "onnx-graphsurgeon", "onnxruntime", "numpy")

# What the exporter writes, by type; a model of somebody else may have none of it.
_PROPERTIES = {"name": str, "dataset": str, "method": dict, "normalisation": dict, "parent": dict}


def describe(path: Path, model: onnx.ModelProto, target: Target, parent: onnx.ModelProto | None = None) -> Manifest:
    """The manifest of an exported model, read from `path`, and of its parent, without options, build and files."""
    layers = model_file.layers_of(model)
    gated = tuple(layer.name for layer in layers if layer.gated)
    properties = properties_of(model)
    image, any_size = model_file.image_of(model)
    sizes = [table.to_json() for table in model_file.sizes_of(model)]
    return Manifest(
        name=properties.get("name", path.stem),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        target={"name": target.name, "backend": target.backend, "arch": target.arch},
        variants={name: variant_file(name) for name in variants_of(bool(gated), parent is not None)},
        input={
            "name": INPUT,
            "shape": image,
            **({"any_size": True} if any_size else {}),
            **({"sizes": sizes} if sizes else {}),
            "dtype": "float32",
            "normalisation": properties.get("normalisation", {}),
        },
        outputs=model_file.outputs_of(model),
        layers=layers,
        gated=gated,
        dense_macs=dense_macs(layers),
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
    sizes = [table.to_json() for table in model_file.sizes_of(model)]
    layers = [layer.to_json() for layer in model_file.layers_of(model)]
    return {"layers": layers, "weights": weights, **({"sizes": sizes} if sizes else {})}


def properties_of(model: onnx.ModelProto) -> dict[str, Any]:
    """What the exporter knew about the model beyond its graph."""
    try:
        properties = parse_json(model_file.metadata_of(model).get("sanp.properties", "{}"))
    except ValueError as error:
        raise InputError(f"the properties in the model are not JSON ({error}); export the model again") from error
    for name, kind in _PROPERTIES.items() if isinstance(properties, dict) else [("properties", dict)]:
        value = properties.get(name, kind()) if isinstance(properties, dict) else properties
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{name} in the model is {value!r:.100}, expected {kind.__name__}; export the model again")
    return dict(properties)


def _package_versions() -> dict[str, str]:
    """Versions of the packages that shape a result; "absent" for one that is not installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    # One of its builds may stand in for onnxruntime.
    builds = {name: version for name, version in distribution.installed().items() if name != "onnxruntime"}
    found.update(builds)
    return found
