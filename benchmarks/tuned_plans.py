"""What `sanp compile --tune` gains on this machine: full-size networks, tuned against untuned, one thread, batch 1.

    python benchmarks/tuned_plans.py --json out.json                 # the three backbones, all steps
    python benchmarks/tuned_plans.py --isa portable --models m-cifarnet
    python benchmarks/tuned_plans.py --folder runs --steps compare   # on the bundles of an earlier run

The networks are those of end_to_end.py: full width, not trained, gates drawn at random. Both bundles hold the same
weights and run the same real samples, interleaved. A speed-up is the median over the samples of a round, then the
median over the rounds of a pair of engines, then the mean of the pairs: equal engines differ by 1 to 2 % while they
live.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from end_to_end import SAMPLES, untrained

import sanp
from sanp import data, models
from sanp.pipeline.export import reference_path
from sanp.pipeline.tune.race import PlanRace, with_algorithms
from sanp.pipeline.tune.record import tune as tune_algorithms
from sanp_export.graph import model_file as graph
from sanp_export.variants import variants
from sanp_runtime import load
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.engines.onnxruntime.library import OpLibrary, find_library
from sanp_runtime.measure.timing import measure
from sanp_targets.device import describe, fingerprint
from sanp_targets.pinning import choose_cpus, pinned

REPEATS = 6
STEPS = ("export", "tune", "compare")


def export(name: str, folder: Path) -> None:
    """`folder/NAME.onnx` with PyTorch's answers on digits beside it."""
    dataset = data.load("digits")
    images, labels = dataset.test.images[:SAMPLES], dataset.test.labels[:SAMPLES]
    network = untrained(name, dataset.train)
    example = torch.from_numpy(images[:2])
    sanp.export(network, folder / f"{name}.onnx", example_input=example, images=images, labels=labels)


def tune(name: str, folder: Path, isa: str | None) -> None:
    """`folder/NAME.sanp`, `folder/NAME-tuned.sanp`, and in `folder/NAME-tuning.json` what the race found.

    As `sanp compile --tune` does it, and for an instruction set that need not be the best one of this machine.
    """
    model, library = folder / f"{name}.onnx", find_library()
    bundle = sanp.compile(model, folder / f"{name}.sanp", replace=True)
    proto, race = graph.read(model), PlanRace
    if isa is not None:
        race = functools.partial(PlanRace, entries=OpLibrary(library).session_entries(isa))
    algorithms, record = tune_algorithms(variants(proto), bundle.manifest, bundle.reference(), library, race, isa)
    hinted = folder / f"{name}-tuned.onnx"
    graph.write(with_algorithms(proto, algorithms), hinted)
    sanp.compile(hinted, folder / f"{name}-tuned.sanp", reference=reference_path(model), replace=True)
    (folder / f"{name}-tuning.json").write_text(json.dumps(record), encoding="utf-8")


def compare(name: str, folder: Path, isa: str | None, duration: float) -> dict:
    """Latency of both bundles in `REPEATS` pairs of new engines, loaded in alternating order."""
    paths = {"model": folder / f"{name}.sanp", "tuned": folder / f"{name}-tuned.sanp"}
    x = open_bundle(paths["tuned"]).reference().x
    times: dict[str, list[np.ndarray]] = {key: [] for key in paths}
    with pinned(choose_cpus(1)):
        for repeat in range(REPEATS):
            order = list(paths) if repeat % 2 == 0 else list(paths)[::-1]
            engines = {key: load(paths[key], isa=isa) for key in order}
            require_equal(name, *(engine(x).logits for engine in engines.values()))
            calls = {key: [engines[key].bind(x[i : i + 1]) for i in range(len(x))] for key in order}
            measured = measure(calls, duration / REPEATS)
            for key in paths:
                times[key].append(measured.latency_ms[key])
            isa = engines["tuned"].isa
    ratios = [np.median(a / b, axis=1) for a, b in zip(times["model"], times["tuned"])]
    per_pair = [float(np.median(ratio)) for ratio in ratios]
    return {
        "model": name,
        "isa": isa,
        "typical_ms": {key: float(np.median(np.concatenate(rows), axis=0).mean()) for key, rows in times.items()},
        "speedup": {"mean": float(np.mean(per_pair)), "per_pair": per_pair},
        "rounds": [len(ratio) for ratio in ratios],
        "tuning": json.loads((folder / f"{name}-tuning.json").read_text(encoding="utf-8")),
    }


def require_equal(name: str, first: np.ndarray, second: np.ndarray) -> None:
    """Refuse to time a plan that changes an answer by more than rounding."""
    error = float(np.abs(first - second).max() / np.abs(first).max())
    if not error < 2e-5:
        raise SystemExit(f"{name}: the tuned bundle differs by {error:.1e} of the largest logit, expected < 2e-5")


def report(row: dict) -> None:
    """Two lines per network."""
    times, speed, algorithms = row["typical_ms"], row["speedup"], row["tuning"]["algorithms"]
    print(f"{row['model']}, {row['isa']}: {times['model']:.3f} -> {times['tuned']:.3f} ms, ", end="")
    pairs = ", ".join(f"{value:.3f}" for value in speed["per_pair"])
    print(f"{speed['mean']:.3f}x (pairs of engines: {pairs}; {sum(row['rounds'])} rounds)")
    changes = (f"{k}: {row['tuning']['layers'][k]['model']} -> {v}" for k, v in algorithms.items())
    print(f"  {len(algorithms)} of {len(row['tuning']['layers'])} layers changed  {'; '.join(changes)}", flush=True)


def main() -> None:
    """Parse the arguments, run the steps, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(models.NAMES), choices=models.NAMES)
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS)
    parser.add_argument("--folder", type=Path, help="keep models and bundles here [default: a temporary folder]")
    parser.add_argument("--isa", help="instruction set to tune and compare with [default: the best]")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of comparison per network")
    parser.add_argument("--json", type=Path, help="write the results here, added to those of other networks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for name in options.models:
            if "export" in options.steps:
                export(name, folder)
            if "tune" in options.steps:
                tune(name, folder, options.isa)
            if "compare" in options.steps:
                row = compare(name, folder, options.isa, options.duration)
                report(row)
                if options.json:
                    save(options.json, row)


def save(path: Path, row: dict) -> None:
    """Replace or add the row of one network and instruction set."""
    known = json.loads(path.read_text(encoding="utf-8"))["networks"] if path.exists() else []
    kept = [other for other in known if (other["model"], other["isa"]) != (row["model"], row["isa"])]
    content = {"machine": describe(fingerprint()), "networks": [*kept, row]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
