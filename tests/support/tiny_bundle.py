"""The hand-written network as a complete bundle: manifest, reference samples, files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import GATED, LIBRARY_FILE, VARIANTS
from sanp_runtime.network.macs import dense_macs
from sanp_runtime.network.outputs import Output
from tests.support import tiny_net

# Two budgets with thresholds of no rule; what was measured is not true, which nothing here asks.
BUDGETS = {
    1.0: dict.fromkeys(tiny_net.GATED, tiny_net.THRESHOLD),
    0.6: {"stem": 0.5, "block.a": 2.0, "block.b": 1.25},
}


def budget_record() -> dict:
    settings = [
        {"budget": budget, "thresholds": thresholds, "rule": "by hand", "macs": 1000.0 * budget, "score": 0.9,
         "same": None, "typical_ms": None}
        for budget, thresholds in BUDGETS.items()
    ]  # fmt: skip
    return {"calibration_samples": 6, "samples": 6, "held_back": False, "measure": "accuracy", "timing": None,
            "settings": settings}  # fmt: skip


def make_manifest() -> Manifest:
    return Manifest(
        name="tiny",
        created="2026-01-01T00:00:00+00:00",
        target={"name": "x86-cpu", "backend": "onnxruntime", "arch": "x86_64"},
        variants={kind: f"{kind}.onnx" for kind in VARIANTS},
        input={
            "name": "input",
            "shape": [tiny_net.C, tiny_net.H, tiny_net.W],
            "dtype": "float32",
            "normalisation": {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
        },
        outputs=(Output("logits", (tiny_net.CLASSES,)),),
        layers=tiny_net.LAYERS,
        gated=tiny_net.GATED,
        dense_macs=dense_macs(tiny_net.LAYERS),
        dataset="random",
        method={"kind": "threshold", "threshold": tiny_net.THRESHOLD},
    )


def make_reference(n: int = 6) -> Reference:
    x = tiny_net.samples(n)
    answers = tiny_net.reference(tiny_net.weights(), x)
    return Reference(
        x=x,
        labels=answers["logits"].argmax(1).astype(np.int64),
        outputs={"logits": answers["logits"]},
        scales={layer: answers[f"scale/{layer}"] for layer in tiny_net.GATED},
        saliency={layer: answers[f"saliency/{layer}"] - np.float32(tiny_net.THRESHOLD) for layer in tiny_net.GATED},
    )


def fill(writer: BundleWriter, library: Path | None = None, budgets: bool = False) -> Bundle:
    blob, offsets = bytearray(), {}
    for kind in VARIANTS:
        model = tiny_net.build_graph("dial" if budgets and kind == GATED else kind, tiny_net.weights())
        writer.add_bytes(f"{kind}.onnx", tiny_net.external(model, offsets, blob))
    writer.add_bytes("weights.bin", bytes(blob))
    if library is not None:
        writer.add_file(LIBRARY_FILE, library)
    writer.add_reference(make_reference())
    manifest = make_manifest()
    return writer.finish(replace(manifest, build={"budgets": budget_record()}) if budgets else manifest)
