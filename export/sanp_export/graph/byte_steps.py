"""Steps of tensors of bytes: what a byte stands for, weights rounded to bytes, tensors whose ranges must be known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from sanp_export.graph.byte_layers import LEVELS, MOST
from sanp_export.graph.patterns import RESIDUAL, X, gated_convs, has_residual


@dataclass(frozen=True)
class Step:
    """A byte q of a tensor stands for (q - zero) * size. size: above 0, in the unit of the tensor; zero: 0 to 255."""

    size: float
    zero: int


def step_of(low: float, high: float) -> Step:
    """The step of a tensor with values from low to high; both ends and zero itself are representable.

    Zero must be, because closed channels and padding are zero. Behind a ReLU the zero point is 0.
    """
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    size = np.float32((high - low) / LEVELS)
    if not np.isfinite(size) or size < np.finfo(np.float32).tiny:  # a tensor that is zero on every sample
        return Step(1.0, 0)
    return Step(float(size), int(np.clip(np.rint(-low / float(size)), 0, LEVELS)))


def byte_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 [Co, ...] in -127..127 and the float32 step of every output channel [Co]; a row of zeros has the step 1."""
    sizes = (np.abs(weights.astype(np.float64)).reshape(len(weights), -1).max(axis=1) / MOST).astype(np.float32)
    sizes = np.where(sizes > 0, sizes, np.float32(1))
    rows = weights.astype(np.float64) / sizes.reshape(-1, *[1] * (weights.ndim - 1)).astype(np.float64)
    return np.clip(np.rint(rows), -MOST, MOST).astype(np.int8), sizes


def ranged_tensors(graph: gs.Graph) -> Iterator[gs.Tensor]:
    """The feature maps that gated convolutions read and write, each once: those that may become bytes."""
    seen: set[int] = set()
    for conv in gated_convs(graph):
        for tensor in (conv.inputs[X], *([conv.inputs[RESIDUAL]] if has_residual(conv) else []), conv.outputs[0]):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor
