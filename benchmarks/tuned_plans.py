"""What `sanp compile --tune` gains on this machine: full-size networks, tuned against untuned, one thread, batch 1.

    python benchmarks/tuned_plans.py --json out.json                 # the three backbones, all steps
    python benchmarks/tuned_plans.py --isa portable --models m-cifarnet
    python benchmarks/tuned_plans.py --folder runs --steps compare   # on the bundles of an earlier run

The networks are those of end_to_end.py: full width, not trained, gates drawn at random. Both bundles hold the same
weights and run the same real samples, interleaved. Ratios are those of the two times of one sample in one round.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from end_to_end import SAMPLES, untrained

import sanp
from sanp import data, models
from sanp_runtime import load
from sanp_runtime.bundle import open_bundle
from sanp_runtime.library import OpLibrary, find_library
from sanp_runtime.timing import measure
from sanp_targets.device import describe, fingerprint
from sanp_targets.pinning import choose_cpus, pinned

STEPS = ("export", "tune", "compare")


def export(name: str, folder: Path) -> None:
    """`folder/NAME.onnx` with PyTorch's answers on digits beside it."""
    dataset = data.load("digits")
    images, labels = dataset.test.images[:SAMPLES], dataset.test.labels[:SAMPLES]
    network = untrained(name, dataset.train)
    example = torch.from_numpy(images[:2])
    sanp.export(network, folder / f"{name}.onnx", example_input=example, images=images, labels=labels)


def tune(name: str, folder: Path, isa: str | None) -> None:
    """`folder/NAME.sanp` and `folder/NAME-tuned.sanp`."""
    with OpLibrary(find_library()).forced(isa):
        sanp.compile(folder / f"{name}.onnx", folder / f"{name}-tuned.sanp", tune=True, replace=True)
        sanp.compile(folder / f"{name}.onnx", folder / f"{name}.sanp", replace=True)


def compare(name: str, folder: Path, isa: str | None, duration: float) -> dict:
    """Latency of both bundles; refuses to time a tuned one whose logits differ by more than rounding."""
    paths = {"model": folder / f"{name}.sanp", "tuned": folder / f"{name}-tuned.sanp"}
    x = open_bundle(paths["tuned"]).golden().x
    with pinned(choose_cpus(1)), load(paths["model"], isa=isa) as first, load(paths["tuned"], isa=isa) as second:
        plain, tuned = first(x).logits, second(x).logits
        error = float(np.abs(plain - tuned).max() / np.abs(plain).max())
        if not error < 2e-5:
            raise SystemExit(f"{name}: the tuned bundle differs by {error:.1e} of the largest logit")
        calls = {key: [e.bind(x[i : i + 1]) for i in range(len(x))] for key, e in zip(paths, (first, second))}
        times = measure(calls, duration)
        isa = second.isa
    ratio = (times.latency_ms["model"] / times.latency_ms["tuned"]).mean(1)
    quartiles = np.percentile(ratio, (25, 50, 75))
    return {
        "model": name,
        "isa": isa,
        "typical_ms": {key: times.typical_ms(key) for key in paths},
        "speedup": dict(zip(("q1", "median", "q3"), map(float, quartiles))),
        "rounds": len(ratio),
        "logit_difference": error,
        "tuning": open_bundle(paths["tuned"]).manifest.options["tuning"],
    }


def report(row: dict) -> None:
    """Two lines per network."""
    times, speed, families = row["typical_ms"], row["speedup"], row["tuning"]["families"]
    print(f"{row['model']}, {row['isa']}: {times['model']:.3f} -> {times['tuned']:.3f} ms, ", end="")
    print(f"{speed['median']:.3f}x (quartiles {speed['q1']:.3f} to {speed['q3']:.3f}, {row['rounds']} rounds)")
    changes = (f"{k}: {row['tuning']['layers'][k]['model']} -> {v}" for k, v in families.items())
    print(f"  {len(families)} of {len(row['tuning']['layers'])} layers changed  {'; '.join(changes)}", flush=True)


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
