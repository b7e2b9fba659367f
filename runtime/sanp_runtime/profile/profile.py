"""Measure a bundle: every variant that tells something, on the same real samples."""

from __future__ import annotations

import contextlib
import datetime
import platform
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np

from sanp_runtime.bundle.budgets import TRAINED
from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.contract import DENSE, FLOAT_GATED, OPEN, REFERENCE_FILE
from sanp_runtime.engines.base import Engine, Result
from sanp_runtime.engines.feeds import check_images
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.engines.proof import Proof
from sanp_runtime.measure.stalls import stalls_of
from sanp_runtime.measure.timing import Measurement
from sanp_runtime.measure.verdict import Conditions, assess, joined
from sanp_runtime.network.outputs import join
from sanp_runtime.network.sizes import Size
from sanp_runtime.profile.batches import batches_of
from sanp_runtime.profile.budgets import budget_rows, require_budgets
from sanp_runtime.profile.costs import correlation, macs_of, ratios_of, sample_rows
from sanp_runtime.profile.energy import energy_of
from sanp_runtime.profile.gap import gap_of
from sanp_runtime.profile.kernels_note import kernels_note
from sanp_runtime.profile.layer_rows import NodeTimes, gates_of_profile, layer_rows, node_times
from sanp_runtime.profile.resize import resized
from sanp_runtime.profile.results import Profile, RunSettings, variant_times
from sanp_runtime.profile.tuning_note import tuning_note
from sanp_runtime.validate.amplification import moved_by_rounding
from sanp_runtime.validate.replay import replay_check
from sanp_targets.controls import Held, held
from sanp_targets.device import describe, device_id, fingerprint
from sanp_targets.errors import ValidationError
from sanp_targets.pinning import choose_cpus, pinned

PROFILED_CALLS = 32
PROFILE_WARM_UP = 4


def profile(
    bundle: Union[PathLike, Bundle],
    options: Optional[EngineOptions] = None,
    *,
    duration_s: float = 10.0,
    batch: int = 1,
    samples: Optional[np.ndarray] = None,
    size: Optional[Size] = None,
    pin: bool = True,
    power_mode: Optional[str] = None,
    fix_clocks: bool = False,
    energy: bool = False,
    budget: Optional[float] = None,
    budgets: bool = False,
) -> Profile:
    """Latency of the variants of a bundle side by side; what is timed is `Engine.bind` and its call.

    Those are dense, open and gated, and the parent where the bundle has one; without gates dense is the network itself.
    An int8 bundle has the float32 network beside them, dense and gated.
    duration_s: measuring time over all variants, without warm-up. batch: samples per call; with n samples n batches are
    formed, so that every sample is issued equally often. samples: float32 [n, C, H, W], by default those of the
    reference. size: (height, width) of the images, one that the bundle takes; samples are resized to it, and MACs and
    layers are those of it. pin: keep the process on as many processors as it has threads. power_mode, fix_clocks: set
    the power mode of a Jetson by its name, fix the clocks, and set both back at the end, see `sanp_targets.controls`.
    energy: measure the energy per inference too, after the latencies. budget: that the network runs at, None as
    trained; budgets:
    measure all of the bundle too, for as long again. Raises AccelerationError if a gated node
    does not run in our kernel (not with library=None), ValidationError if the open variant is not the dense network,
    ConfigError and InputError for bad arguments, TargetError where a power mode or clocks cannot be set.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    images = opened.reference().x if samples is None else samples
    if size is not None:
        images = resized(check_images(images, opened.manifest.input["shape"], any_size=True), size)
        opened = replace(opened, manifest=opened.manifest.at(size))
    if budgets:
        require_budgets(opened.manifest)
    chosen = (options or EngineOptions()).check()
    x = check_images(images, opened.manifest.input["shape"])
    batches = batches_of(x, batch)
    with held(power_mode, fix_clocks) as controls:
        cpus = choose_cpus(chosen.threads) if pin else None  # a power mode may switch processors off
        with pinned(cpus) as is_pinned, contextlib.ExitStack() as stack:
            names = opened.manifest.measured
            engines = {name: stack.enter_context(load_bundle(opened, name, chosen)) for name in names}
            if budget is not None:
                engines[opened.manifest.main].budget = budget
            run = _run(opened, engines, batches, duration_s, accelerated=chosen.library is not None)
            turned = budget_rows(engines[opened.manifest.main], batches, duration_s) if budgets else None
            used = energy_of(engines, batches, duration_s, cpus if is_pinned else None) if energy else None
        settings = RunSettings(
            threads=chosen.threads,
            batch=batch,
            duration_s=duration_s,
            samples=len(x),
            source=REFERENCE_FILE if samples is None else "caller",
            cpus=tuple(cpus) if cpus is not None and is_pinned else None,
            budget=None if budget == TRAINED else budget,
            size=size,
        )
        result = _result(opened, settings, run, controls, used)
    if turned is None:
        return result
    rows, measurement = turned
    validity = assess(measurement, conditions_of(result.device, settings.cpus), f"{TRAINED:g}")
    return replace(result, budgets=rows, validity=joined(result.validity, validity, "budgets"))


@dataclass(frozen=True)
class _Run:
    """What was seen while the engines were open; results: those of the network as trained, one for each batch.

    proof: None for a network without gates.
    """

    proof: Optional[Proof]
    results: List[Result]
    measurement: Measurement
    nodes: Mapping[str, NodeTimes]
    includes: str
    node_source: str
    versions: Dict[str, str]
    accelerator: Dict[str, Any]
    gpu_governor: Dict[str, Dict[str, Any]]


def _run(
    bundle: Bundle, engines: Mapping[str, Engine], batches: Sequence[np.ndarray], duration_s: float, accelerated: bool
) -> _Run:
    main, gated = engines[bundle.manifest.main], bool(bundle.manifest.gated)
    proof = main.proof() if gated else None
    if proof is not None and accelerated:
        proof.require()
        for name in (OPEN, FLOAT_GATED):
            if name in engines:
                engines[name].proof().require()
    results = {name: [engine(part) for part in batches] for name, engine in engines.items()}
    _check_open(bundle, engines[DENSE], batches, results)
    return _Run(
        proof=proof,
        results=results[main.variant],
        measurement=type(main).measure_together(engines, batches, duration_s),
        nodes={name: _node_times(engine, batches) for name, engine in engines.items()},
        includes=main.INCLUDES,
        node_source=main.PROFILED_BY,
        versions=main.versions(),
        accelerator=main.accelerator(),
        gpu_governor=type(main).gpu_governor(),
    )


def _check_open(
    bundle: Bundle, plain: Engine, batches: Sequence[np.ndarray], results: Mapping[str, List[Result]]
) -> None:
    """Correct before fast: outputs are finite, and with every gate open the gated network is the dense network."""
    for row in results[DENSE]:
        row.check_finite()
    if OPEN not in results:
        return
    dense, opened = (join([row.outputs for row in results[name]]) for name in (DENSE, OPEN))
    rounding = {} if bundle.manifest.rounded else bundle.manifest.rounding_of(OPEN)  # rounded weights are in both
    report = replay_check(bundle.manifest.layers, dense, opened, bundle.manifest.precision, rounding)
    if not report.passed and not bundle.manifest.int8:
        parts = [moved_by_rounding(lambda x: plain(x).outputs, part, bundle.manifest.precision) for part in batches]
        moved = {name: np.concatenate([part[name] for part in parts]) for name in dense}
        report = replay_check(bundle.manifest.layers, dense, opened, bundle.manifest.precision, rounding, moved=moved)
    if not report.passed:
        raise ValidationError(
            f"{bundle.path}: with every gate open the gated network is not the dense network ({report.summary()}), so "
            "its speed means nothing; run the self-test"
        )
    for row in results[bundle.manifest.main]:
        row.check_finite()


def _node_times(engine: Engine, batches: Sequence[np.ndarray]) -> NodeTimes:
    count = PROFILE_WARM_UP + PROFILED_CALLS
    parts = [batches[index % len(batches)] for index in range(count)]
    blocks = engine.manifest.blocks_of(engine.variant)
    return node_times(engine.layers, engine.node_times(parts, skip=PROFILE_WARM_UP), blocks)


def _result(
    bundle: Bundle, settings: RunSettings, run: _Run, controls: Held, energy: Optional[Dict[str, Any]]
) -> Profile:
    manifest, measurement = bundle.manifest, run.measurement
    device = {**fingerprint(), "accelerator": run.accelerator, "gpu_governor": run.gpu_governor}
    per_call = np.array([row.macs.mean() for row in run.results])
    scales = {name: np.concatenate([row.gates[name] for row in run.results]) for name in manifest.gated}
    per_sample = {name: measurement.per_sample_ms(name) for name in manifest.measured}
    baseline, parent = manifest.baseline, manifest.parent_layers
    rows = layer_rows(manifest.layers, parent, scales, run.nodes, manifest.blocks)
    variants = {name: variant_times(measurement, name) for name in manifest.measured}
    latency = {name: row.latency for name, row in variants.items()}
    typical = {name: row.typical_ms for name, row in variants.items()}
    return Profile(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        bundle=_origin(bundle),
        settings=settings,
        includes=run.includes,
        baseline=baseline,
        main=manifest.main,
        variants=variants,
        macs=macs_of(
            manifest.full_macs if parent else None,
            manifest.dense_macs,
            np.concatenate([row.macs for row in run.results]),
        ),
        ratios=ratios_of(measurement, baseline, manifest.main, manifest.full_macs, float(per_call.mean())),
        samples=tuple(sample_rows(per_sample, per_call)),
        correlation=correlation(per_sample[manifest.main], per_call),
        layers=tuple(rows),
        gates=tuple(gates_of_profile(manifest.layers, scales, run.nodes)),
        gap=gap_of(manifest.layers, rows, run.nodes, latency, typical),
        nodes=run.nodes,
        node_source=run.node_source,
        validity=assess(measurement, conditions_of(device, settings.cpus), baseline),
        readings=(measurement.readings[0], measurement.readings[-1]),
        elapsed_s=measurement.elapsed_s,
        in_turns=measurement.in_turns,
        stalls={name: stalls_of(measurement.latency_ms[name]) for name in manifest.measured},
        controls=controls,
        energy=energy,
        device=device,
        device_id=device_id(device),
        device_name=describe(device),
        versions={"python": platform.python_version(), "numpy": np.__version__, **run.versions},
        proof=run.proof,
        tuning_note=tuning_note(manifest.options, device, run.proof.isa if run.proof else None),
    )


def _origin(bundle: Bundle) -> Dict[str, Any]:
    """What was measured."""
    manifest = bundle.manifest
    return {
        "name": manifest.name,
        "digest": bundle.digest(),
        "target": dict(manifest.target),
        "dataset": manifest.dataset,
        "parent_weights": manifest.parent.get("weights"),
        "pixel_gated": len(manifest.pixel_gated),
        "kernels": kernels_note(manifest),
        "blocks": len(manifest.blocks),
        "onnx_sha256": {name: manifest.files[file].sha256 for name, file in manifest.variants.items()},
    }


def conditions_of(device: Mapping[str, Any], cpus: Optional[Sequence[int]]) -> Conditions:
    """Where something ran, from the fingerprint of the device and the processors that it was pinned to."""
    used = set(cpus if cpus is not None else device["affinity"] or ())
    clocks = [row["policy"] for row in device["frequency"] if used & set(row["cpus"])] + [f"cpu{cpu}" for cpu in used]
    governors = {row["governor"] for row in device["frequency"] if used & set(row["cpus"]) and row["governor"]}
    governor = "+".join(sorted(governors)) or None
    limit, gpus = device["cpu_limit"], device["gpu_governor"]
    return Conditions(cpus, governor, device["cores"] or 1, device["virtual"], clocks, limit, gpus)
