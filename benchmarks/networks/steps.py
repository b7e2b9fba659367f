"""Steps of a network that are not convolutions: their ONNX nodes, and which of their channels can be non-zero.

A step is a tuple (operator, source, ...). Pooling and activations read one source, `Mul` and `Concat` two. There are
numbers in two: ("Slice", source, first, past) takes these channels, ("Shuffle", source, size) mixes two halves of a map
of this size.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto, helper

from benchmarks.networks.shapes import MAX_POOL_3X3

_ATTRIBUTES = {
    "MaxPool": {"kernel_shape": [2, 2], "strides": [2, 2]},
    MAX_POOL_3X3: {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4},
    "HardSigmoid": {"alpha": 1 / 6, "beta": 0.5},  # as hard swish has it; ONNX's default has 0.2
    "Concat": {"axis": 1},
}  # fmt: skip


def step_nodes(name: str, step: tuple, constants: dict[str, np.ndarray]) -> list[NodeProto]:
    """The nodes of a step whose output is `name`; adds what they need to `constants`."""
    operator, source, *more = step
    if operator == "Slice":
        for key, value in zip(("first", "past", "axis"), (*more, 1)):
            constants[f"{name}.{key}"] = np.array([value], np.int64)
        return [helper.make_node("Slice", [source, *(f"{name}.{key}" for key in ("first", "past", "axis"))], [name])]
    if operator == "Shuffle":
        size = more[0]
        constants[f"{name}.halves"] = np.array([0, 2, -1, size, size], np.int64)
        constants[f"{name}.whole"] = np.array([0, -1, size, size], np.int64)
        return [
            helper.make_node("Reshape", [source, f"{name}.halves"], [f"{name}.0"]),
            helper.make_node("Transpose", [f"{name}.0"], [f"{name}.1"], perm=[0, 2, 1, 3, 4]),
            helper.make_node("Reshape", [f"{name}.1", f"{name}.whole"], [name]),
        ]
    return [helper.make_node(operator.removesuffix("3x3"), [source, *more], [name], **_ATTRIBUTES.get(operator, {}))]


def step_support(step: tuple, known: Mapping[str, np.ndarray]) -> np.ndarray:
    """[1, channels] of ones where the output of a step can be non-zero; `known`: the same of its sources."""
    operator, source, *more = step
    support = known[source]
    if operator == "Slice":
        return support[:, more[0] : more[1]]
    if operator == "Shuffle":
        return support.reshape(1, 2, -1).transpose(0, 2, 1).reshape(1, -1)
    if operator == "Concat":
        return np.concatenate([support, known[more[0]]], 1)
    if operator == "Mul":
        return support * known[more[0]]
    return np.ones_like(support) if operator == "HardSigmoid" else support
