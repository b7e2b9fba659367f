"""Bundles for TensorRT: copies of the variants, the choice per layer, what a device needs to finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from sanp.pipeline.compile.build_recipe import recipe
from sanp.pipeline.compile.device_files import device_archive, plugin_sources
from sanp.pipeline.compile.int8.native import quantise_native
from sanp.pipeline.compile.int8.quantise import build_part
from sanp.pipeline.compile.int8.requirements import check_answers, check_network
from sanp.pipeline.compile.job import Compiled, Job, Log, compiled, prove
from sanp.pipeline.compile.plugin_choice import Choice, Evidence, choose, densities, read_layer_times
from sanp.pipeline.on_board import build_there
from sanp.remote.board import Board
from sanp.settings.compile import TensorrtPart
from sanp_export.tensorrt import TensorrtOptions, convert, single_nodes
from sanp_export.variants import variants
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import DEVICE_ARCHIVE, PIXEL_GATED_CONV, RECIPE_FILE, SOURCES_FILE
from sanp_runtime.engines.proof import Proof
from sanp_runtime.engines.tensorrt.builder import build as build_engines
from sanp_runtime.engines.tensorrt.tools import has_package
from sanp_runtime.engines.tensorrt.versions import gpu
from sanp_runtime.network.layers import Layer
from sanp_targets.errors import ConfigError, TargetError
from sanp_targets.targets import Gpu, Target, host_arch


def compile_job(job: Job, bundle: Path, log: Log) -> Compiled:
    """Write a portable bundle, then build and prove its engines if this machine is such a device."""
    part = job.settings.tensorrt
    if job.described.any_size:
        raise ConfigError(
            f"{job.described.name} takes images of any size, expected a list for engines of TensorRT; export it again "
            "with --sizes in place of --dynamic-size, such as --sizes 224x224,320x256"
        )
    if job.settings.int8:
        pixels = any(node.op_type == PIXEL_GATED_CONV for node in job.model.graph.node)
        check_network(job.described.name, bool(job.described.gated), pixels)
        check_answers(job.described.name, job.answers, job.described.one_size)
    picked = choices(job.described.layers, job.answers, job.target, part)
    models, record = variants(job.model, job.parent), {}
    if job.settings.int8:
        quantised = quantise_native(job, {choice.layer for choice in picked if choice.plugin}, log)
        job, models, record = quantised.job, quantised.models, build_part(quantised.record)
    copies, build = convert_all(models, picked, part)
    build.update(record)
    decided = {choice.layer: {"plugin": choice.plugin, "reason": choice.reason} for choice in picked}
    build["sm"] = (job.target.gpu or Gpu()).sm
    manifest = job.finished({"plugin_layers": part.plugin_layers, "choices": decided}, build)
    with BundleWriter(bundle, replace=job.settings.replace) as writer:
        job.add_common(writer, copies)
        for name, content in device_files(manifest, job.target).items():
            writer.add_bytes(name, content)
        made = writer.finish(manifest)
    if job.settings.remote.on_board:
        return _built_there(made, job, log)
    if builds_here(job.target) is not None:
        return compiled(made, None)
    built = build_engines(made.path, log=log)
    return compiled(built, prove(built) if built.manifest.gated else None)


def _built_there(made: Bundle, job: Job, log: Log) -> Compiled:
    """Engines that were built and proven on the board, in the bundle here; without them it stays as it is."""
    with Board(job.settings.remote, log) as board:
        row, built = build_there(board, made)
    return compiled(built, None if row["proof"] is None else Proof.from_json(row["proof"]))


def choices(layers: Sequence[Layer], reference: Reference | None, target: Target, part: TensorrtPart) -> list[Choice]:
    """The kernel of every gated layer; see `sanp.pipeline.compile.plugin_choice`."""
    measured = {} if part.layer_times is None else read_layer_times(part.layer_times, target.name)
    known = densities(layers, reference)
    evidence = Evidence(target.gpu or Gpu(), part.precision, part.opt_batch, known, measured)
    return choose(layers, part.plugin_layers, evidence)


def convert_all(
    models: Mapping[str, onnx.ModelProto], picked: Sequence[Choice], part: TensorrtPart
) -> tuple[dict[str, onnx.ModelProto], dict[str, Any]]:
    """TensorRT copies of the variants, and `Manifest.build`, which says how to make engines of them."""
    plugin = frozenset(choice.layer for choice in picked if choice.plugin)
    copies = {name: convert(model, TensorrtOptions(part.precision, plugin)) for name, model in models.items()}
    build: dict[str, Any] = {
        "precision": part.precision,
        "plugin_layers": [choice.layer for choice in picked if choice.plugin],
        "batch": {"min": 1, "opt": part.opt_batch, "max": part.max_batch},
    }
    if part.precision == "fp16":
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
