"""`sanp compile`: one exported model to a bundle for one target, proven to run in our kernels before it is kept."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import onnx

from sanp.pipeline.exporting import golden_path
from sanp_export import graph
from sanp_export.variants import WEIGHTS_FILE, share_weights, variants
from sanp_runtime.bundle import Bundle
from sanp_runtime.bundle_writer import BundleWriter
from sanp_runtime.cost import dense_macs
from sanp_runtime.engine import load_bundle
from sanp_runtime.golden import Golden, read_golden
from sanp_runtime.library import find_library
from sanp_runtime.manifest import LIBRARY_FILE, Manifest
from sanp_runtime.proof import Proof
from sanp_targets.device import fingerprint
from sanp_targets.errors import InputError
from sanp_targets.targets import Target, check_runs_here, resolve

_PACKAGES = ("sanp-toolchain", "torch", "onnx", "onnx-graphsurgeon", "onnxruntime", "numpy")


def compile_model(
    model: str | Path,
    bundle: str | Path,
    *,
    target: str = "host",
    golden: str | Path | None = None,
    replace: bool = False,
    allow_modified: bool = False,
) -> Bundle:
    """Compile an exported model into a bundle directory for `target`.

    golden: PyTorch's answers; by default the file that the exporter wrote beside the model. replace: an existing bundle
    may be replaced. Before the bundle takes its name it is loaded and every gated node is proven to run in our kernel.
    Raises InputError for a damaged model or answers, TargetError for an unknown target or one that cannot be compiled
    for on this machine, AccelerationError if a gated node would not run in our kernel.
    """
    model, chosen = Path(model), resolve(target)
    proto = graph.read(model, allow_modified)
    graphs = variants(proto)
    check_runs_here(chosen)
    library = find_library()
    files, weights = share_weights(graphs)
    options = {"target": target, "allow_modified": allow_modified}
    manifest = _manifest(model, graphs["model"], chosen, options)
    answers = _answers(model, proto, golden, manifest)
    with BundleWriter(bundle, replace=replace) as writer:
        for name, content in files.items():
            writer.add_bytes(manifest.graphs[name], content)
        writer.add_bytes(WEIGHTS_FILE, weights)
        writer.add_file(LIBRARY_FILE, library)
        if answers is not None:
            writer.add_golden(answers)
        return writer.finish(manifest, check=lambda candidate: prove(candidate).require())


def prove(bundle: Bundle) -> Proof:
    """Run the gated graph of a bundle once and tell which layers ran in our kernels."""
    with load_bundle(bundle) as engine:
        return engine.proof()


def _answers(model: Path, proto: onnx.ModelProto, golden: str | Path | None, manifest: Manifest) -> Golden | None:
    path = Path(golden) if golden is not None else golden_path(model)
    expected = _properties(proto).get("golden_sha256")
    if golden is None and expected is None:
        return None
    if not path.is_file():
        raise InputError(
            f"{path}: is missing, expected the answers that were exported with {model.name}; "
            "copy it beside the model, name it with --golden, or export again with --samples 0"
        )
    if golden is None and hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise InputError(f"{path}: does not belong to {model.name} or was damaged; export the model again")
    return read_golden(path, manifest)


def _properties(proto: onnx.ModelProto) -> dict[str, Any]:
    """What the exporter knew about the model beyond its graph."""
    properties: dict[str, Any] = json.loads(graph.metadata_of(proto).get("sanp.properties", "{}"))
    return properties


def _manifest(model: Path, proto: onnx.ModelProto, target: Target, options: dict[str, Any]) -> Manifest:
    layers = graph.layers_of(proto)
    properties = _properties(proto)
    image = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim[1:]]
    return Manifest(
        name=properties.get("name", model.stem),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        target={"name": target.name, "backend": target.backend, "arch": target.arch},
        graphs={name: f"{name}.onnx" for name in ("model", "open", "replay", "dense")},
        input={
            "name": "input",
            "shape": image,
            "dtype": "float32",
            "normalisation": properties.get("normalisation", {}),
        },
        outputs=tuple(value.name for value in proto.graph.output),
        layers=layers,
        gated=tuple(layer.name for layer in layers if layer.gated),
        dense_macs=dense_macs(layers),
        classes=properties.get("classes", layers[-1].c_out),
        dataset=properties.get("dataset", ""),
        made_by=package_versions(),
        device=fingerprint(),
        policy=properties.get("policy", {}),
        source={
            "onnx_sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
            "checkpoint_sha256": properties.get("checkpoint_sha256"),
        },
        options=options,
    )


def package_versions() -> dict[str, str]:
    """Versions of the packages that shape a result; "absent" for one that is not installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
