"""Measure a bundle: dense, gated with every gate open, and gated as trained, on the same real samples."""

from __future__ import annotations

import datetime
import platform
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.contract import DENSE, GATED, MEASURED, OPEN, REFERENCE_FILE
from sanp_runtime.engines.base import Engine, Result
from sanp_runtime.engines.feeds import check_images
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.proof import Proof
from sanp_runtime.measure.stats import stats
from sanp_runtime.measure.timing import Measurement
from sanp_runtime.measure.verdict import Conditions, assess
from sanp_runtime.network.macs import dense_macs, sample_macs
from sanp_runtime.profile.layer_times import gate_times, layer_times
from sanp_runtime.profile.tuning_note import tuning_note
from sanp_runtime.validate.replay import replay_check
from sanp_targets.device import describe, device_id, fingerprint
from sanp_targets.errors import ConfigError, ValidationError
from sanp_targets.pinning import choose_cpus, pinned

SCHEMA_VERSION = 2
_PROFILED_CALLS = 32
_PROFILE_WARM_UP = 4


def profile(
    bundle: Union[PathLike, Bundle],
    *,
    threads: int = 1,
    duration_s: float = 10.0,
    batch: int = 1,
    samples: Optional[np.ndarray] = None,
    library: Optional[PathLike] = "bundle",
    pin: bool = True,
) -> Dict[str, Any]:
    """Latency of the three engines side by side, as plain JSON (runtime/README.md names the fields).

    duration_s: measuring time over all engines, without warm-up. batch: samples per call; with n samples n batches are
    formed, so that every sample is issued equally often. samples: float32 [n, C, H, W], by default those of the
    reference. pin: keep the process on as many processors as it has threads. Raises AccelerationError if a gated node
    does not run in our kernel (not with library=None), ValidationError if the open variant is not the dense network,
    ConfigError and InputError for bad arguments.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    x = opened.reference().x if samples is None else check_images(samples, opened.manifest.input["shape"])
    batches = _batches(x, batch)
    cpus = choose_cpus(threads) if pin else None
    with pinned(cpus) as is_pinned:
        engines = {name: load_bundle(opened, variant=name, threads=threads, library=library) for name in MEASURED}
        try:
            proof = engines[GATED].proof()
            if library is not None:
                proof.require()
                engines[OPEN].proof().require()
            results = {name: _run_all(engine, batches) for name, engine in engines.items()}
            _check_open(opened, results)
            measurement = type(engines[GATED]).measure_together(engines, batches, duration_s)
            nodes = {name: _layer_times(engine, batches) for name, engine in engines.items()}
            backend = {
                "includes": engines[GATED].INCLUDES,
                "profiled_by": engines[GATED].PROFILED_BY,
                "versions": engines[GATED].versions(),
                "accelerator": engines[GATED].accelerator(),
            }
        finally:
            for engine in engines.values():
                engine.close()
    settings = {
        "threads": threads,
        "batch": batch,
        "duration_s": duration_s,
        "samples": len(x),
        "source": REFERENCE_FILE if samples is None else "caller",
        "cpus": cpus if is_pinned else None,
    }
    return _report(opened, settings, measurement, results[GATED], nodes, proof, backend)


def _batches(x: np.ndarray, batch: int) -> List[np.ndarray]:
    if type(batch) is not int or not 1 <= batch <= len(x):
        raise ConfigError(f"batch is {batch!r}, expected an integer from 1 to the number of samples, {len(x)}")
    index = np.arange(len(x))
    return [np.ascontiguousarray(x[(index[start] + np.arange(batch)) % len(x)]) for start in index]


def _run_all(engine: Engine, batches: Sequence[np.ndarray]) -> List[Result]:
    return [engine(part) for part in batches]


def _check_open(bundle: Bundle, results: Mapping[str, List[Result]]) -> None:
    """Correct before fast: with every gate open the gated engine must be the dense network."""
    dense, opened = (np.concatenate([row.logits for row in results[name]]) for name in (DENSE, OPEN))
    report = replay_check(bundle.manifest.layers, dense, opened, bundle.manifest.precision)
    if not report.passed:
        raise ValidationError(
            f"{bundle.path}: with every gate open the gated engine is not the dense network ({report.summary()}), so "
            "its speed means nothing; run the self-test"
        )


def _layer_times(engine: Engine, batches: Sequence[np.ndarray]) -> Dict[str, Any]:
    count = _PROFILE_WARM_UP + _PROFILED_CALLS
    parts = [batches[index % len(batches)] for index in range(count)]
    nodes = engine.node_times(parts, skip=_PROFILE_WARM_UP)
    times = layer_times(engine.manifest.layers, nodes)
    total = sum(node.typical_ms for node in nodes)
    gates = gate_times(engine.manifest.layers, nodes)
    return {"layers": times, "gates": gates, "total_ms": total, "other_ms": total - sum(times.values())}


def _report(
    bundle: Bundle,
    settings: Dict[str, Any],
    measurement: Measurement,
    gated: List[Result],
    nodes: Mapping[str, Mapping[str, Any]],
    proof: Proof,
    backend: Mapping[str, Any],
) -> Dict[str, Any]:
    manifest, device = bundle.manifest, {**fingerprint(), "accelerator": backend["accelerator"]}
    per_call = np.array([row.macs.mean() for row in gated])
    conditions = _conditions(device, settings["cpus"])
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "profile",
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "bundle": {
            "name": manifest.name,
            "digest": bundle.digest(),
            "target": dict(manifest.target),
            "dataset": manifest.dataset,
            "onnx_sha256": {name: manifest.files[file].sha256 for name, file in manifest.variants.items()},
        },
        "settings": settings,
        "includes": backend["includes"],
        "variants": {
            name: {
                "latency": stats(measurement.latency_ms[name]),
                "typical_ms": measurement.typical_ms(name),
                "spread_ms": measurement.spread_ms(name),
                "warm_up": dict(measurement.warm_up[name].__dict__),
            }
            for name in MEASURED
        },
        "macs": _macs(manifest.dense_macs, np.concatenate([row.macs for row in gated])),
        "ratios": _ratios(measurement, manifest.dense_macs, float(per_call.mean())),
        "samples": _samples(measurement, per_call),
        "correlation": _correlation(measurement.per_sample_ms(GATED), per_call),
        "layers": _layers(bundle, gated, nodes),
        "node_times": {
            "perturbed": True,
            "note": f"from {backend['profiled_by']} in a separate run, which slows every node down: read as shares",
            **{name: {key: row[key] for key in ("total_ms", "other_ms")} for name, row in nodes.items()},
        },
        "validity": assess(measurement, conditions).to_json(),
        "sensors": {"first": measurement.readings[0].to_json(), "last": measurement.readings[-1].to_json()},
        "elapsed_s": measurement.elapsed_s,
        "device": device,
        "device_id": device_id(device),
        "device_name": describe(device),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            **backend["versions"],
        },
        "library": {"version": proof.library_version, "isa": proof.isa},
        "proof": proof.to_json(),
        "tuning_note": tuning_note(manifest.options, device, proof.isa),
    }


def _conditions(device: Mapping[str, Any], cpus: Optional[Sequence[int]]) -> Conditions:
    used = set(cpus if cpus is not None else device["affinity"] or ())
    clocks = [row["policy"] for row in device["frequency"] if used & set(row["cpus"])] + [f"cpu{cpu}" for cpu in used]
    governors = {row["governor"] for row in device["frequency"] if used & set(row["cpus"]) and row["governor"]}
    governor = "+".join(sorted(governors)) or None
    return Conditions(cpus, governor, device["cores"] or 1, device["virtual"], clocks)


def _macs(dense: int, gated: np.ndarray) -> Dict[str, Any]:
    p50, p99 = np.percentile(gated, (50, 99))
    return {
        "dense": dense,
        "gated_mean": float(gated.mean()),
        "gated_stdev": float(gated.std()),
        "gated_min": float(gated.min()),
        "gated_p50": float(p50),
        "gated_p99": float(p99),
        "gated_max": float(gated.max()),
    }


def _ratios(measurement: Measurement, dense: int, gated: float) -> Dict[str, float]:
    """From typical latencies, since the mean cost of the samples belongs to the mean of their latencies."""
    typical = {name: measurement.typical_ms(name) for name in MEASURED}
    theoretical, measured = dense / gated, typical[DENSE] / typical[GATED]
    return {
        "theoretical": theoretical,
        "measured": measured,
        "efficiency": measured / theoretical,
        "overhead": typical[OPEN] / typical[DENSE],
    }


def _samples(measurement: Measurement, macs: np.ndarray) -> List[Dict[str, Any]]:
    """Per call (per sample when the batch is 1): mean MACs of its samples, median latency of each engine."""
    columns = {f"{name}_ms": measurement.per_sample_ms(name) for name in MEASURED}
    return [
        {"index": index, "macs": float(macs[index]), **{name: float(values[index]) for name, values in columns.items()}}
        for index in range(len(macs))
    ]


def _correlation(latency: np.ndarray, macs: np.ndarray) -> Optional[float]:
    """Pearson's r between cost and latency; None if either does not vary."""
    if len(macs) < 3 or np.ptp(macs) == 0 or np.ptp(latency) == 0:
        return None
    return float(np.corrcoef(latency, macs)[0, 1])


def _layers(bundle: Bundle, gated: List[Result], nodes: Mapping[str, Mapping[str, Any]]) -> List[Dict[str, Any]]:
    names = bundle.manifest.gated
    masks = {name: np.concatenate([row.gates[name] for row in gated]) for name in names}
    rows = []
    for layer in bundle.manifest.layers:
        macs = sample_macs((layer,), masks) if masks else np.array([float(dense_macs((layer,)))])
        row: Dict[str, Any] = {
            "name": layer.name,
            "gated": layer.gated,
            "channels": [layer.c_in, layer.c_out],
            "kernel": list(layer.kernel),
            "out_hw": list(layer.out_hw),
            "macs_dense": dense_macs((layer,)),
            "macs_gated": float(macs.mean()),
            "open_fraction": float((masks[layer.name] != 0).mean()) if layer.gated else None,
            "varies": bool((masks[layer.name] != 0).std(axis=0).any()) if layer.gated else None,
        }
        row.update({f"{name}_ms": nodes[name]["layers"].get(layer.name) for name in MEASURED})
        row["gate_ms"] = nodes[GATED]["gates"].get(layer.name)
        rows.append(row)
    return rows
