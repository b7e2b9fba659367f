"""What `sanp compile --tune` gains on this machine: full-size networks, tuned against untuned, one thread, batch 1.

    python -m benchmarks.networks.tuned --json out.json               # the three backbones; adds to what the file holds
    python -m benchmarks.networks.tuned --isa portable --models m-cifarnet
    python -m benchmarks.networks.tuned --folder runs --steps compare   # on the bundles of an earlier run

The networks are those of untrained.py. Both bundles hold the same
weights and run the same real samples, interleaved. A speed-up is the median over the samples of a round, then the
median over the rounds of a pair of engines, then the mean of the pairs: equal engines differ by 1 to 2 % while they
live.
"""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import numpy as np

import sanp
from benchmarks.command_line import json_parser, write_json
from benchmarks.networks.untrained import export
from benchmarks.sessions import require_close
from sanp import data, models
from sanp.pipeline.export import reference_path
from sanp.pipeline.tune.race import PlanRace, with_algorithms
from sanp.pipeline.tune.record import tune as tune_algorithms
from sanp_export.graph import model_file
from sanp_export.variants import variants
from sanp_runtime import load
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.engines.onnxruntime.library import OpLibrary, find_library
from sanp_runtime.measure.timing import measure
from sanp_targets.device import describe, fingerprint
from sanp_targets.pinning import choose_cpus, pinned

REPEATS = 6
STEPS = ("export", "tune", "compare")


def tune(name: str, folder: Path, isa: str | None) -> None:
    """`folder/NAME.sanp`, `folder/NAME-tuned.sanp`, and in `folder/NAME-tuning.json` what the race found.

    As `sanp compile --tune` does it, and for an instruction set that need not be the best one of this machine.
    """
    model, library = folder / f"{name}.onnx", find_library()
    bundle = sanp.compile(model, folder / f"{name}.sanp", replace=True)
    proto, race = model_file.read(model), PlanRace
    if isa is not None:
        race = functools.partial(PlanRace, entries=OpLibrary(library).session_entries(isa))
    algorithms, record = tune_algorithms(variants(proto), bundle.manifest, bundle.reference(), library, race, isa)
    hinted = folder / f"{name}-tuned.onnx"
    model_file.write(with_algorithms(proto, algorithms), hinted)
    sanp.compile(hinted, folder / f"{name}-tuned.sanp", reference=reference_path(model), replace=True)
    write_json(folder / f"{name}-tuning.json", record)


def compare(name: str, folder: Path, isa: str | None, duration: float) -> dict:
    """Latency of both bundles in `REPEATS` pairs of new engines, loaded in alternating order."""
    paths = {"model": folder / f"{name}.sanp", "tuned": folder / f"{name}-tuned.sanp"}
    x = open_bundle(paths["tuned"]).reference().x
    times: dict[str, list[np.ndarray]] = {key: [] for key in paths}
    with pinned(choose_cpus(1)):
        for repeat in range(REPEATS):
            order = list(paths) if repeat % 2 == 0 else list(paths)[::-1]
            engines = {key: load(paths[key], isa=isa) for key in order}
            tuned, model = (engines[key](x).logits for key in ("tuned", "model"))
            require_close(name, tuned, model, 2e-5)  # a plan may change an answer by rounding
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
    made = json_parser(__doc__)
    made.add_argument("--models", nargs="+", default=list(models.NAMES), choices=models.NAMES)
    made.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS)
    made.add_argument("--folder", type=Path, help="keep models and bundles here [default: a temporary folder]")
    made.add_argument("--isa", help="instruction set to tune and compare with [default: the best]")
    made.add_argument("--duration", type=float, default=10.0, help="seconds of comparison per network")
    options = made.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for name in options.models:
            if "export" in options.steps:
                export(name, folder / f"{name}.onnx", data.load("digits"))
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
    write_json(path, {"machine": describe(fingerprint()), "networks": [*kept, row]})


if __name__ == "__main__":
    main()
