"""The tuned half of `sanp compile`: what is timed on which inputs, and what the bundle remembers of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sanp.pipeline.tune.race import THREADS, PlanRace
from sanp.pipeline.tune.search import Race, Tuned, search
from sanp_export.graph.kernel_shapes import kernel_shapes
from sanp_export.graph.model_file import to_graph
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import GATED, REFERENCE_FILE, REPLAY, mask_input
from sanp_runtime.engines.onnxruntime.library import OpLibrary
from sanp_runtime.engines.onnxruntime.session import onnxruntime_version
from sanp_runtime.profile.tuning_note import machine
from sanp_targets.device import fingerprint

_SAMPLES = 8
_KEEP = 0.5

Feeds = list[dict[str, np.ndarray]]
RaceMaker = Callable[[onnx.ModelProto, Feeds, Path], Race]


def tune(
    models: Mapping[str, onnx.ModelProto],
    manifest: Manifest,
    answers: Reference | None,
    library: Path,
    race: RaceMaker = PlanRace,
    isa: str | None = None,
) -> tuple[dict[str, str], dict[str, Any]]:
    """The algorithms that beat the cost model on this machine, and the record for the manifest.

    One choice serves all gated variants: `open` and `replay` show what the deployed kernels cost, so they must have
    them. Real samples pass the learned gates; without answers the masks are random with half of the channels open, in
    the variant where they are the scale. isa: instruction set of the candidates and of the race; None is the best.
    """
    variant = GATED if answers is not None else REPLAY
    feeds = network_feeds(manifest, answers)
    opened = OpLibrary(library)
    shapes = kernel_shapes(to_graph(models[variant]))
    candidates = {layer: _worth_trying(opened.algorithms(shape, isa)) for layer, shape in shapes.items()}
    tuned = search(
        {layer: names for layer, names in candidates.items() if names}, race(models[variant], feeds, library)
    )
    inputs = REFERENCE_FILE if answers is not None else f"random, {_KEEP:.0%} of the channels open"
    return tuned.algorithms, _record(tuned, opened, isa or opened.isa, inputs)


def _worth_trying(algorithms: Sequence[str]) -> tuple[str, ...]:
    """Without `gather`, which took 1.1 to 10 times as long as the best of the others in every layer measured."""
    return tuple(name for name in algorithms if name == algorithms[0] or name != "gather")


def _record(tuned: Tuned, library: OpLibrary, isa: str, inputs: str) -> dict[str, Any]:
    network = None if tuned.network_ms is None else dict(zip(("model", "tuned"), tuned.network_ms))
    return {
        "machine": machine(fingerprint(), isa),
        "library": library.version,
        "onnxruntime": onnxruntime_version(),
        "threads": THREADS,
        "batch": 1,
        "inputs": inputs,
        "algorithms": tuned.algorithms,
        "kept": tuned.kept,
        "network_ms": network,
        "layers": {layer: asdict(row) for layer, row in tuned.layers.items()},
    }


def network_feeds(manifest: Manifest, answers: Reference | None) -> Feeds:
    """What a race feeds its engines: a few of the answers' images, without answers random ones and random masks."""
    return _real(manifest, answers) if answers is not None else _random(manifest)


def _real(manifest: Manifest, answers: Reference) -> Feeds:
    rows = np.linspace(0, len(answers) - 1, min(_SAMPLES, len(answers))).round().astype(int)
    return [{manifest.input["name"]: np.ascontiguousarray(answers.x[row : row + 1])} for row in rows]


def _random(manifest: Manifest) -> Feeds:
    rng = np.random.default_rng(0)
    feeds = []
    for _ in range(_SAMPLES):
        image = rng.standard_normal((1, *manifest.input["shape"]), dtype=np.float32)
        masks = {
            mask_input(name): (rng.random((1, manifest.layer(name).c_out)) < _KEEP).astype(np.float32)
            for name in manifest.gated
        }
        feeds.append({manifest.input["name"]: image, **masks})
    return feeds
