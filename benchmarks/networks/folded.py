"""Trained networks before and after `sanp compile --fold`: size, accuracy, latency, and what its bounds change.

    sanp train --method sanp --width 0.5 ... -o build/fold/sanp      # docs/methods.md has the whole commands
    python -m benchmarks.networks.folded build/fold/sanp build/fold/static --json out.json
    python -m benchmarks.networks.folded build/fold/sanp build/fold/static --bounds

One thread, batch 1, samples and engines in turn; the clock is the processor time of the thread.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import sanp
from benchmarks.command_line import json_parser, write_json
from benchmarks.timing import in_turn, interleaved_seconds, spread
from sanp import checkpoint
from sanp.pipeline.compile.fold import run
from sanp.pipeline.export import test_samples
from sanp.pipeline.validate import validate
from sanp_export.fold import Folded, fold
from sanp_export.graph import model_file
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import DENSE, WEIGHTS_FILE
from sanp_runtime.engines.load import load_bundle
from sanp_targets.device import fingerprint

SAMPLES = 512
STEADY = (None, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
COUNTS = (8, 16, 32, 64, 128, 256, 512)
TIMED = 32  # samples that are timed in turn


def sizes(bundle: Bundle) -> dict[str, int]:
    """Weights of the variant that runs, and bytes of the file that all variants share."""
    model = onnx.load(bundle.path / bundle.manifest.variants[bundle.manifest.main], load_external_data=False)
    weights = sum(int(np.prod(item.dims)) for item in model.graph.initializer)
    return {"weights": weights, "weights_file": (bundle.path / WEIGHTS_FILE).stat().st_size}


def about(folded: Folded) -> dict[str, Any]:
    """What left."""
    rows = folded.layers.values()
    return {
        "channels": sum(row.before for row in rows),
        "removed": sum(row.before - len(row.kept) for row in rows),
        "gates": len(rows),
        "fixed": sum(row.gate == "fixed" for row in rows),
        "dropped": sum(row.gate == "dropped" for row in rows),
    }


def judged(folded: Folded, images: np.ndarray, labels: np.ndarray, before: np.ndarray) -> dict[str, Any]:
    """A fold on all test images: accuracy, how many keep their class, and how far surgery is from masks."""
    got, masked = run(folded.model, images)[0], run(folded.closed, images)[0]
    apart = np.abs(got - masked).max(1) / np.abs(masked).max()
    return {
        **about(folded),
        "accuracy": float((got.argmax(1) == labels).mean()),
        "same_class": float((got.argmax(1) == before.argmax(1)).mean()),
        "within_1e-4_of_masks": float((apart <= 1e-4).mean()),
        "worst_from_masks": float(apart.max()),
    }


def latency(bundles: dict[str, Bundle], rounds: int) -> dict[str, Any]:
    """Each bundle, and the dense network of the first, on the same samples."""
    first = next(iter(bundles.values()))
    reference = first.reference()
    assert reference is not None
    rows = {**{name: (item, None) for name, item in bundles.items()}, "dense": (first, DENSE)}
    engines = {name: load_bundle(bundle, variant) for name, (bundle, variant) in rows.items()}
    runs = [in_turn([engine.bind(x[None]) for x in reference.x[:TIMED]]) for engine in engines.values()]
    times = interleaved_seconds(runs, rounds)
    return {name: spread(values) for name, values in zip(engines, times)}


def measure(path: Path, rounds: int) -> dict[str, Any]:
    """Size, accuracy and latency of one trained network."""
    file = path / "checkpoint.safetensors"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sanp.export(file, root / "net.onnx", samples=SAMPLES)
        bundles = {
            "gated": sanp.compile(root / "net.onnx", root / "gated.sanp").bundle,
            "folded": sanp.compile(root / "net.onnx", root / "folded.sanp", fold=True).bundle,
        }
        found: dict[str, Any] = {"network": path.name, "check": bundles["folded"].manifest.build["fold"]["check"]}
        for name, bundle in bundles.items():
            level = validate(bundle.path, file)
            found[name] = {**sizes(bundle), "accuracy": level.to_json()["L2"]["accuracy"], "validated": level.passed}
        found["latency"] = latency(bundles, rounds)
    print(found, flush=True)
    return found


def bounds(path: Path) -> dict[str, Any]:
    """What other bounds, and other numbers of samples, make of one trained network."""
    loaded = checkpoint.load(path / "checkpoint.safetensors")
    images, labels = test_samples(loaded, None)
    with tempfile.TemporaryDirectory() as folder:
        sanp.export(path / "checkpoint.safetensors", Path(folder) / "net.onnx", samples=8)
        model = model_file.read(Path(folder) / "net.onnx")
    before, scales, _ = run(model, images)
    order = np.random.default_rng(0).permutation(len(images))
    found: dict[str, Any] = {"network": path.name, "steady": {}, "samples": {}}
    for bound in STEADY:
        found["steady"][str(bound)] = judged(fold(model, scales, steady=bound), images, labels, before)
    for count in COUNTS:
        seen = {name: scale[order[:count]] for name, scale in scales.items()}
        found["samples"][count] = judged(fold(model, seen), images, labels, before)
    for key in ("steady", "samples"):
        for bound, row in found[key].items():
            print(path.name, key, bound, row, flush=True)
    return found


def main() -> None:
    """Parse the arguments, measure, write."""
    made = json_parser(__doc__)
    made.add_argument("runs", nargs="+", type=Path, help="folders that `sanp train` made")
    made.add_argument("--rounds", type=int, default=61)
    made.add_argument("--bounds", action="store_true", help="try other bounds in place of timing")
    options = made.parse_args()
    rows = [bounds(path) if options.bounds else measure(path, options.rounds) for path in options.runs]
    write_json(options.json, {"device": fingerprint(), "rows": rows})


if __name__ == "__main__":
    main()
