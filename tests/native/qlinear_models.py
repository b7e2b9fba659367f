"""Random cases of the operators on bytes, their one-node models, and exact results in NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from sanp_export.functions import channel_gate_function, gated_qlinear_conv_function
from tests.native import op_models as models

CONV_INPUTS = ("x", "x_scale", "x_zero_point", "w", "w_scale", "scale", "shift", "in_active", "residual",
               "residual_scale", "residual_zero_point", "y_scale", "y_zero_point")  # fmt: skip
GATE_INPUTS = ("x", "x_scale", "x_zero_point", "w1", "b1", "w2", "b2", "bias", "mask")
FEEDS = ("x", "scale", "shift", "in_active", "residual", "mask", "threshold")


@dataclass
class QLinearCase:
    """One node: all inputs by name in their order; those in `constants` become initializers."""

    op: str
    attributes: dict
    values: dict
    outputs: tuple = ("y",)
    constants: set = field(default_factory=set)

    def __post_init__(self) -> None:
        self.constants = self.constants or set(self.values) - set(FEEDS)

    def model(self, function: bool = True) -> bytes:
        """A serialised model of this node."""
        body = gated_qlinear_conv_function()
        if self.op == "SanpQLinearChannelGate":
            hidden, offset = self.values["w1"].ndim == 2, self.values["bias"].ndim == 2
            dial = "threshold" in self.values
            body = channel_gate_function(self.attributes["k"] > 0, hidden, offset, quantised=True, dial=dial)
        node = helper.make_node(self.op, list(self.values), list(self.outputs), domain="sanp", **self.attributes)
        kind = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8,
                np.dtype(np.float32): TensorProto.FLOAT}  # fmt: skip
        free = [(name, value) for name, value in self.values.items() if name not in self.constants]
        result = TensorProto.UINT8 if self.op == "SanpGatedQLinearConv" else TensorProto.FLOAT
        graph = helper.make_graph(
            [node], "one", [helper.make_tensor_value_info(name, kind[value.dtype], None) for name, value in free],
            [helper.make_tensor_value_info(name, result, None) for name in self.outputs],
            [numpy_helper.from_array(self.values[name], name) for name in self.constants],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("sanp", 1)]
        functions = [body] if function else []
        return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9).SerializeToString()

    def run(self, **session) -> list[np.ndarray]:
        """All outputs; arguments as of `op_models.session`."""
        feeds = {name: value for name, value in self.values.items() if name not in self.constants}
        return models.session(self.model(), **session).run(None, feeds)


def conv_result(case: QLinearCase) -> np.ndarray:
    """y from exact sums, in float64 before its only rounding."""
    v, a = case.values, case.attributes
    x = torch.from_numpy(v["x"].astype(np.float64) - v["x_zero_point"])
    top, left, bottom, right = a["pads"]
    x = torch.nn.functional.pad(x, (left, right, top, bottom))
    w = torch.from_numpy(v["w"].astype(np.float64))
    sums = torch.conv2d(x, w, stride=a["strides"], dilation=a["dilations"], groups=a["group"]).numpy()
    factor = v["scale"].astype(np.float64) * v["w_scale"] * v["x_scale"]
    y = sums * factor[:, :, None, None] + v["shift"][:, :, None, None]
    y = y + (v["residual"].astype(np.float64) - v["residual_zero_point"]) * v["residual_scale"]
    y = np.clip(y, a["act_min"], a["act_max"]) / v["y_scale"] + v["y_zero_point"]
    return np.clip(np.rint(y), 0, 255)


def quantised(case: models.ConvCase, rng: np.random.Generator) -> QLinearCase:
    """A float case with its tensors as bytes; inactive channels hold the zero point, as the contract promises."""
    feeds, w = case.feeds, case.weights
    zero = np.uint8(rng.choice([0, 128, 128, 37]))
    x_scale = np.float32(max(np.abs(feeds["x"]).max(), 0.1) / 100)
    x = np.clip(np.rint(feeds["x"] / x_scale) + zero, 0, 255).astype(np.uint8)
    w_scale = (np.abs(w).reshape(len(w), -1).max(1) / 127).astype(np.float32)
    r_zero, y_zero = np.uint8(rng.choice([0, 128, 60])), np.uint8(rng.choice([0, 128, 200]))
    r_scale, y_scale = np.float32(0.02), np.float32(rng.uniform(0.02, 0.2))
    residual = np.clip(np.rint(feeds["residual"] / r_scale) + r_zero, 0, 255).astype(np.uint8)
    values = {
        "x": x, "x_scale": x_scale, "x_zero_point": zero,
        "w": np.rint(w / w_scale[:, None, None, None]).astype(np.int8), "w_scale": w_scale,
        "scale": feeds["scale"], "shift": feeds["shift"], "in_active": feeds["in_active"],
        "residual": residual, "residual_scale": r_scale, "residual_zero_point": r_zero,
        "y_scale": y_scale, "y_zero_point": y_zero,
    }  # fmt: skip
    return QLinearCase("SanpGatedQLinearConv", case.attributes, {k: np.asarray(v) for k, v in values.items()})


def random_conv(seed: int) -> QLinearCase:
    """Any convolution that the contract allows."""
    rng = np.random.default_rng(seed)
    return quantised(models.random_conv(rng), rng)


def layer(ci: int, co: int, size: int, kernel: int = 3, stride: int = 1, seed: int = 0) -> QLinearCase:
    """A layer as in a network: two samples, 60 % open, ReLU."""
    rng = np.random.default_rng(seed)
    case = models.padded_conv(rng, ci, co, size, kernel, stride)
    case.attributes["act_max"] = math.inf
    return quantised(case, rng)


def random_gate(seed: int) -> QLinearCase:
    """Any gate that the contract allows, on bytes."""
    rng = np.random.default_rng(seed)
    case = models.random_gate(rng)
    x = rng.integers(0, 256, case.feeds["x"].shape).astype(np.uint8)
    values = {"x": x, "x_scale": np.float32(0.013), "x_zero_point": np.uint8(rng.choice([0, 128]))}
    named = {**values, **case.constants, "mask": case.feeds["mask"]}
    named = {name: np.asarray(named[name]) for name in GATE_INPUTS}
    return QLinearCase("SanpQLinearChannelGate", case.attributes, named, ("scale", "shift"))
