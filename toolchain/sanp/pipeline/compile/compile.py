"""`sanp compile`: one exported model to a bundle for one target, proven to run in our kernels before it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from sanp.pipeline.compile import fold, onnxruntime, tensorrt
from sanp.pipeline.compile.blocks import kept_apart
from sanp.pipeline.compile.describe import describe, properties_of
from sanp.pipeline.compile.job import Compiled, Job, Log
from sanp.pipeline.compile.large import check_large
from sanp.pipeline.compile.losing_gates import losing_gates
from sanp.pipeline.export import reference_path
from sanp.pipeline.on_board import reach
from sanp.pipeline.parent import parent_path
from sanp.settings.compile import CompileSettings
from sanp_export.graph import model_file
from sanp_runtime.bundle.files import check_outside_bundles
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reference import Reference, read_reference
from sanp_runtime.contract import ONNXRUNTIME, TENSORRT
from sanp_targets.errors import InputError
from sanp_targets.targets import resolve

# A new backend is a file with such a function, a line here, and a part in `CompileSettings`.
COMPILERS: dict[str, Callable[[Job, Path, Log], Compiled]] = {
    ONNXRUNTIME: onnxruntime.compile_job,
    TENSORRT: tensorrt.compile_job,
}


def compile_model(
    model: str | Path,
    bundle: str | Path,
    settings: CompileSettings | None = None,
    *,
    log: Log = lambda text: None,
    **keywords: Any,
) -> Compiled:
    """Compile an exported model into a bundle directory.

    Settings are an object or its fields as keywords, those of a backend by their own names: `compile("net.onnx",
    "net.sanp", target="jetson-orin-nano", precision="fp16")`. log: called with one sentence before each long step.

    For ONNX Runtime the bundle is loaded before it takes its name, and every gated node is proven to run in our kernel.
    A network without gates runs in ONNX Runtime's own kernels, unless `kernels` says otherwise.
    For TensorRT the engines are built and proven here if this machine has TensorRT and the GPU of the target; otherwise
    the bundle carries what `build` needs on the device. With a `host` a bundle for ONNX Runtime is also tested there
    before it takes its name, and one for TensorRT is built there and brought back.
    Raises InputError for a damaged model or answers, ConfigError for settings that contradict each other, TargetError
    for an unknown target, one that cannot be compiled for on this machine, or a board that cannot be used,
    AccelerationError if a gated node would not run in our kernel, ValidationError if a fold costs more than it may, or
    a self-test on the board fails.
    """
    path, chosen = Path(model), CompileSettings.chosen(settings, keywords)
    target = reach(chosen.remote, chosen.target, log) if chosen.remote.on_board else resolve(chosen.target)
    chosen.check_backend(target.name, target.backend)
    check_outside_bundles(Path(bundle))
    proto = model_file.read(path, chosen.allow_modified)
    parent = _parent(path, proto)
    described = describe(path, proto, target, parent)
    check_large(described.name, [proto, *([parent] if parent is not None else [])], target, chosen)
    job = Job(proto, target, chosen, _answers(path, proto, described, chosen.reference), described, parent)
    if chosen.fold:
        job = _folded(path, job)
    made = COMPILERS[target.backend](job, Path(bundle), log)
    losing = [] if chosen.int8 else losing_gates(job)  # by rates of float32
    advice = {"losing_gates": losing, "blocks_apart": kept_apart(job)}
    return replace(made, record={**made.record, **{key: rows for key, rows in advice.items() if rows}})


def _folded(path: Path, job: Job) -> Job:
    """The job for what is left of the model; its costs refer to the network before, which becomes the parent."""
    asked = job.settings
    made = fold.fold_model(job.model, job.answers, job.parent, asked.multiple, _max_drop(asked), asked.metric)
    described = describe(path, made.model, job.target, made.parent)
    return replace(
        job, model=made.model, answers=made.answers, described=described, parent=made.parent, fold=made.record
    )


def _max_drop(settings: CompileSettings) -> float:
    return fold.MAX_DROP if settings.max_drop is None else settings.max_drop


def _parent(path: Path, model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model of the network before channels were removed, if one was exported with this one."""
    row = properties_of(model).get("parent")
    if row is None:
        return None
    place = parent_path(path)
    if not place.is_file():
        raise InputError(
            f"{place}: is missing, expected the network that {path.name} was made from; copy it beside the model or "
            "export again"
        )
    if hashlib.sha256(place.read_bytes()).hexdigest() != row["sha256"]:
        raise InputError(f"{place}: does not belong to {path.name} or was damaged; export the model again")
    return model_file.read(place)


def _answers(path: Path, model: onnx.ModelProto, described: Manifest, named: Path | None) -> Reference | None:
    """PyTorch's answers: those that were named, else those beside the model, if it was exported with some."""
    expected = properties_of(model).get("reference_sha256")
    if named is None and expected is None:
        return None
    place = named if named is not None else reference_path(path)
    if not place.is_file():
        raise InputError(
            f"{place}: is missing, expected the answers that were exported with {path.name}; "
            "copy it beside the model, name it with --reference, or export again with --samples 0"
        )
    if named is None and hashlib.sha256(place.read_bytes()).hexdigest() != expected:
        raise InputError(f"{place}: does not belong to {path.name} or was damaged; export the model again")
    return read_reference(place, described)
