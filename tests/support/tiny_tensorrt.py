"""The hand-written network as a bundle for a TensorRT target, before its engines are built."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
from onnx.shape_inference import infer_shapes

from sanp_export.tensorrt import TensorrtOptions, convert, single_nodes
from sanp_export.variants import share_weights
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import VARIANTS
from sanp_targets.targets import resolve
from tests.support import tiny_net
from tests.support.tiny_bundle import make_manifest, make_reference


@functools.cache
def copies(precision: str, plugin: frozenset[str]):
    return make_copies(precision, plugin, tiny_net.weights())


def make_copies(precision: str, plugin: frozenset[str], weights: dict[str, np.ndarray]):
    """TensorRT copies of the four variants."""
    graphs = {kind: infer_shapes(tiny_net.build_graph(kind, weights)) for kind in VARIANTS}
    return {kind: convert(graph, TensorrtOptions(precision, plugin)) for kind, graph in graphs.items()}


def write(
    path: Path,
    target: str = "x86-cuda",
    precision: str = "fp32",
    plugin: tuple[str, ...] = tiny_net.GATED,
    max_batch: int = 4,
    sources: bytes | None = None,
    weights: dict[str, np.ndarray] | None = None,
    keeps_sm: bool = True,
) -> Bundle:
    """A bundle as `sanp compile` leaves it; the largest batch is smaller than the number of samples on purpose.

    keeps_sm: false for a bundle of a version that did not write the GPU of the target into it.
    """
    chosen = frozenset(plugin)
    graphs = copies(precision, chosen) if weights is None else make_copies(precision, chosen, weights)
    files, blob = share_weights(graphs)
    build = {
        "precision": precision,
        "plugin_layers": list(plugin),
        "batch": {"min": 1, "opt": 2, "max": max_batch},
        "single_nodes": {kind: single_nodes(graph) for kind, graph in graphs.items()},
        **({"sm": resolve(target).gpu.sm} if keeps_sm else {}),
    }
    arch = "x86_64" if target.startswith("x86") else "aarch64"
    where = {"name": target, "backend": "tensorrt", "arch": arch}
    with BundleWriter(path) as writer:
        for kind, content in files.items():
            writer.add_bytes(f"{kind}.onnx", content)
        writer.add_bytes("weights.bin", blob.write)
        writer.add_reference(make_reference())
        if sources is not None:
            writer.add_bytes("plugin-src.tar.gz", sources)
        return writer.finish(dataclasses.replace(make_manifest(), target=where, build=build))
