"""Bundles for ONNX Runtime: bytes, rounded weights, fused blocks and tuned kernels, our library, and the proof."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sanp.pipeline.compile.acceptance import Acceptance, check_reach, library_of, runs_here
from sanp.pipeline.compile.bf16_weights import round_small_maps
from sanp.pipeline.compile.blocks import FUSED, fusable, with_blocks
from sanp.pipeline.compile.budgets.calibrate import with_budgets
from sanp.pipeline.compile.int8.quantise import build_part, quantise
from sanp.pipeline.compile.int8.requirements import check_answers, check_network
from sanp.pipeline.compile.job import Compiled, Job, Log, prove
from sanp.pipeline.compile.our_kernels import choose_kernels
from sanp.pipeline.tune.race import with_algorithms
from sanp.pipeline.tune.record import tune
from sanp_export.variants import variants
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import DENSE, GATED, GATED_CONV, INT8, LIBRARY_FILE, PIXEL_GATED_CONV, conv_node
from sanp_runtime.engines.glibc import glibc_floor
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_runtime.engines.proof import Proof
from sanp_runtime.network.blocks import inside
from sanp_targets.errors import AccelerationError, ConfigError

KEPT = "onnxruntime"  # --kernels: a network without gates stays as it was exported


def compile_job(job: Job, bundle: Path, log: Log) -> Compiled:
    """Write the bundle; it takes its name only after every gated node was seen to run in our kernel."""
    check_reach(job)
    if job.settings.int8:
        check_network(job.described.name, bool(job.described.gated), bool(_pixel_nodes(job)))
        check_answers(job.described.name, job.answers, job.described.one_size)
        return _int8(job, bundle, log)
    if not job.described.gated:
        return _ungated(job, bundle, log)
    library, part = library_of(job), job.settings.onnxruntime
    if part.kernels != KEPT:
        raise ConfigError(
            f"{job.described.name} has gates and runs in our kernels, which --kernels {part.kernels} cannot change, "
            "expected a network without gates; leave it out"
        )
    model = job.model
    options: dict[str, Any] = {}
    build: dict[str, Any] = {"glibc": glibc_floor(library)}
    if part.bf16_weights:
        rounded = round_small_maps(model, job.answers, inside(fusable(job, model)))
        model, build["bf16_weights"], options["bf16_weights"] = rounded.model, rounded.to_json(), True
    models, blocks = with_blocks(job, variants(model, job.parent))
    build.update({"blocks": blocks} if blocks else {})
    options.update({"blocks": part.blocks} if part.blocks != FUSED else {})
    with BundleWriter(bundle, replace=job.settings.replace) as writer:
        if part.tune:
            _require_one_size(job)
            log("timing the kernels of every gated layer inside the network; keep the machine idle")
            algorithms, options["tuning"] = tune(models, job.described, job.answers, library)
            models, _ = with_blocks(job, variants(with_algorithms(model, algorithms), job.parent))
        if part.budgets:
            models[GATED], build["budgets"] = with_budgets(job, models[GATED], library, log)
        job.add_common(writer, models)
        writer.add_file(LIBRARY_FILE, library)
        accepted = Acceptance(job, bundle.name, log, _proven)
        made = writer.finish(job.finished(options, build), check=accepted)
    return accepted.compiled(made)


def _require_one_size(job: Job) -> None:
    if not job.described.one_size:
        raise ConfigError(
            f"{job.described.name} takes images of several sizes, and --tune races kernels for one, expected a model "
            "exported for one (without --dynamic-size or --sizes); leave out one of the two"
        )


def _int8(job: Job, bundle: Path, log: Log) -> Compiled:
    """An int8 bundle, with the float32 network beside them."""
    library = library_of(job)
    made = quantise(job, library if runs_here(job.target) else find_library(), log)
    build = {"glibc": glibc_floor(library), **build_part(made.record)}
    if job.settings.onnxruntime.budgets:
        made.models[GATED], build["budgets"] = with_budgets(job, made.models[GATED], library, log)
    with BundleWriter(bundle, replace=job.settings.replace) as writer:
        made.job.add_common(writer, made.models)
        writer.add_file(LIBRARY_FILE, library)
        accepted = Acceptance(job, bundle.name, log, _proven)
        written = writer.finish(made.job.finished({INT8: True}, build), check=accepted)
    return accepted.compiled(written)


def _pixel_nodes(job: Job) -> set[str]:
    return {node.name for node in job.model.graph.node if node.op_type == PIXEL_GATED_CONV}


def _ungated(job: Job, bundle: Path, log: Log) -> Compiled:
    """A network without channel gates: ONNX Runtime's own kernels, no library, nothing to prove; it must run.

    One whose pixels are gated, or for which our kernels were chosen, has our library, and its nodes must run there.
    """
    pixels = _pixel_nodes(job)
    part = job.settings.onnxruntime
    asked = [f"--{name.replace('_', '-')}" for name, value in part if value != getattr(type(part)(), name)]
    asked = [flag for flag in asked if flag != "--library"]  # says what a target has, not what is to be done
    if not pixels and "--kernels" in asked:
        asked.remove("--kernels")
    if asked:
        kind = (
            "gates pixels, not channels, by a kernel" if pixels else "has no gates and runs in kernels of ONNX Runtime"
        )
        raise ConfigError(f"{job.described.name} {kind} which {' and '.join(asked)} does not reach; leave it out")
    build: dict[str, Any] = {}
    models, nodes = variants(job.model, job.parent), dict.fromkeys(pixels, PIXEL_GATED_CONV)
    if part.kernels != KEPT:
        models, build["kernels"] = choose_kernels(job, models, library_of(job), log)
        nodes = {conv_node(layer): GATED_CONV for layer in build["kernels"]["layers"]}
    with BundleWriter(bundle, replace=job.settings.replace) as writer:
        job.add_common(writer, models)
        if nodes:
            library = library_of(job)
            writer.add_file(LIBRARY_FILE, library)
            build["glibc"] = glibc_floor(library)
        accepted = Acceptance(job, bundle.name, log, lambda candidate: _runs(candidate, nodes))
        return accepted.compiled(writer.finish(job.finished({}, build), check=accepted))


def _runs(candidate: Bundle, nodes: Mapping[str, str]) -> None:
    """Every variant loads and answers a sample of zeros; nodes: name -> our operator as which it must run."""
    sample = np.zeros((1, *candidate.manifest.input["shape"]), np.float32)
    for variant in candidate.manifest.variants:
        with load_bundle(candidate, variant) as engine:
            engine(sample).check_finite()
            if variant != DENSE or not nodes:
                continue
            ran = {(row.name, row.op) for row in engine.node_times([sample])}
            missing = sorted(name for name, op in nodes.items() if (name, op) not in ran)
            if missing:
                raise AccelerationError(
                    f"{len(missing)} of {len(nodes)} nodes of {' and '.join(sorted(set(nodes.values())))} did not run "
                    f"in our kernel: {', '.join(missing)[:400]}; expected all of them: build the operator library again"
                )


def _proven(candidate: Bundle) -> Proof:
    return prove(candidate).require()
