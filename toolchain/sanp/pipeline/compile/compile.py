"""`sanp compile`: one exported model to a bundle for one target, proven to run in our kernels before it is kept."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from sanp.pipeline.compile.bf16_weights import round_small_maps
from sanp.pipeline.compile.tensorrt import TensorrtSettings, builds_here, choices, convert_all, device_files
from sanp.pipeline.export import reference_path
from sanp.pipeline.tune.race import with_algorithms
from sanp.pipeline.tune.record import tune as tune_algorithms
from sanp_export.graph import model_file as graph
from sanp_export.variants import share_weights, variants
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.bundle.reference import Reference, read_reference
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import INPUT, LIBRARY_FILE, MACS, TENSORRT, VARIANTS, WEIGHTS_FILE, variant_file
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_runtime.engines.proof import Proof
from sanp_runtime.engines.tensorrt.builder import build as build_engines
from sanp_runtime.network.macs import dense_macs
from sanp_targets.device import fingerprint
from sanp_targets.errors import ConfigError, InputError
from sanp_targets.targets import Target, check_runs_here, resolve

_PACKAGES = ("sanp-toolchain", "torch", "onnx", "onnx-graphsurgeon", "onnxruntime", "numpy")


def compile_model(
    model: str | Path,
    bundle: str | Path,
    *,
    target: str = "host",
    reference: str | Path | None = None,
    replace: bool = False,
    allow_modified: bool = False,
    tune: bool = False,
    bf16_weights: bool = False,
    say: Callable[[str], None] = lambda text: None,
    **tensorrt: Any,
) -> Bundle:
    """Compile an exported model into a bundle directory for `target`.

    reference: PyTorch's answers; by default the file that the exporter wrote beside the model. replace: an existing
    bundle may be replaced. tune: time the kernels of every gated layer on this machine and keep what beats the cost
    model (`Manifest.options["tuning"]` tells). bf16_weights: round the weights of maps of at most 16 pixels to bfloat16
    in all four variants, for kernels that then read half the bytes. Neither is for TensorRT. say: called with one
    sentence before each long step. tensorrt: fields of `TensorrtSettings`, for a TensorRT target.

    For ONNX Runtime the bundle is loaded before it takes its name, and every gated node is proven to run in our kernel.
    For TensorRT the engines are built and proven here if this machine has TensorRT and the GPU of the target; otherwise
    the bundle carries what `build` needs on the device. Raises InputError for a damaged model or answers, ConfigError
    for settings that contradict each other, TargetError for an unknown target or one that cannot be compiled for on
    this machine, AccelerationError if a gated node would not run in our kernel.
    """
    model, chosen = Path(model), resolve(target)
    settings = TensorrtSettings(**tensorrt)
    settings.check()
    _check_backend(chosen, settings, tune, bf16_weights)
    proto = graph.read(model, allow_modified)
    job = _Job(model, proto, chosen, reference, {"target": target, "allow_modified": allow_modified})
    if chosen.backend == TENSORRT:
        return _compile_tensorrt(job, Path(bundle), replace, settings, say)
    check_runs_here(chosen)
    return _compile_onnxruntime(job, Path(bundle), replace, tune, bf16_weights, say)


def _check_backend(target: Target, settings: TensorrtSettings, tune: bool, bf16_weights: bool) -> None:
    """Refuse options of the other backend."""
    if target.backend != TENSORRT and settings != TensorrtSettings():
        raise ConfigError(
            f"target {target.name} runs in ONNX Runtime in float32, expected no setting for TensorRT; leave out "
            "--precision, --plugin-layers, --opt-batch, --max-batch and --layer-times"
        )
    if target.backend == TENSORRT and tune:
        raise ConfigError(
            f"target {target.name} runs in TensorRT, which times its own kernels when an engine is built, expected no "
            "tuning of ours; leave out --tune"
        )
    if target.backend == TENSORRT and bf16_weights:
        raise ConfigError(
            f"target {target.name} runs in TensorRT, expected no rounded weights, which only the kernels for CPUs read "
            "faster; leave out --bf16-weights (--precision fp16 halves all weights there)"
        )


@dataclass(frozen=True)
class _Job:
    """What is compiled, for which target, with which answers."""

    model: Path
    proto: onnx.ModelProto
    target: Target
    reference: str | Path | None
    options: dict[str, Any]


def _compile_onnxruntime(
    job: _Job, bundle: Path, replace: bool, tune: bool, bf16_weights: bool, say: Callable[[str], None]
) -> Bundle:
    answers, library = _answers(job, _manifest(job, {})), find_library()
    proto, build = job.proto, {}
    if bf16_weights:
        job.options["bf16_weights"] = True
        rounded = round_small_maps(proto, answers)
        proto, build["bf16_weights"] = rounded.model, rounded.to_json()
    models = variants(proto)
    with BundleWriter(bundle, replace=replace) as writer:
        if tune:
            say("timing the kernels of every gated layer inside the network; keep the machine idle")
            algorithms, job.options["tuning"] = tune_algorithms(models, _manifest(job, build), answers, library)
            models = variants(with_algorithms(proto, algorithms))
        manifest = _manifest(job, build)
        _add_variants(writer, models, manifest)
        writer.add_file(LIBRARY_FILE, library)
        _add_answers(writer, answers)
        return writer.finish(manifest, check=lambda candidate: prove(candidate).require())


def _compile_tensorrt(
    job: _Job, bundle: Path, replace: bool, settings: TensorrtSettings, say: Callable[[str], None]
) -> Bundle:
    answers = _answers(job, _manifest(job, {}))
    picked = choices(graph.layers_of(job.proto), answers, job.target, settings)
    job.options.update(
        plugin_layers=settings.plugin_layers,
        choices={choice.layer: {"plugin": choice.plugin, "reason": choice.reason} for choice in picked},
    )
    copies, build = convert_all(variants(job.proto), picked, settings)
    manifest = _manifest(job, build)
    with BundleWriter(bundle, replace=replace) as writer:
        _add_variants(writer, copies, manifest)
        for name, content in device_files(manifest, job.target).items():
            writer.add_bytes(name, content)
        _add_answers(writer, answers)
        made = writer.finish(manifest)
    return made if builds_here(job.target) is not None else build_engines(made.path, log=say)


def _add_variants(writer: BundleWriter, models: Mapping[str, onnx.ModelProto], manifest: Manifest) -> None:
    files, weights = share_weights(models)
    for name, content in files.items():
        writer.add_bytes(manifest.variants[name], content)
    writer.add_bytes(WEIGHTS_FILE, weights)


def _add_answers(writer: BundleWriter, answers: Reference | None) -> None:
    if answers is not None:
        writer.add_reference(answers)


def prove(bundle: Bundle) -> Proof:
    """Run the gated variant of a bundle once and tell which layers ran in our kernels."""
    with load_bundle(bundle) as engine:
        return engine.proof()


def _answers(job: _Job, manifest: Manifest) -> Reference | None:
    path = Path(job.reference) if job.reference is not None else reference_path(job.model)
    expected = _properties(job.proto).get("reference_sha256")
    if job.reference is None and expected is None:
        return None
    if not path.is_file():
        raise InputError(
            f"{path}: is missing, expected the answers that were exported with {job.model.name}; "
            "copy it beside the model, name it with --reference, or export again with --samples 0"
        )
    if job.reference is None and hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        raise InputError(f"{path}: does not belong to {job.model.name} or was damaged; export the model again")
    return read_reference(path, manifest)


def _properties(proto: onnx.ModelProto) -> dict[str, Any]:
    """What the exporter knew about the model beyond its graph."""
    properties: dict[str, Any] = json.loads(graph.metadata_of(proto).get("sanp.properties", "{}"))
    return properties


def _manifest(job: _Job, build: dict[str, Any]) -> Manifest:
    model, proto, target = job.model, job.proto, job.target
    layers = graph.layers_of(proto)
    properties = _properties(proto)
    image = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim[1:]]
    return Manifest(
        name=properties.get("name", model.stem),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        target={"name": target.name, "backend": target.backend, "arch": target.arch},
        variants={name: variant_file(name) for name in VARIANTS},
        input={
            "name": INPUT,
            "shape": image,
            "dtype": "float32",
            "normalisation": properties.get("normalisation", {}),
        },
        outputs=tuple(value.name for value in proto.graph.output if value.name != MACS),
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
        options=job.options,
        build=build,
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
