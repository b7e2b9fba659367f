"""One-node models of the two operators, and sessions with and without the operator library."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from sanp_export.functions import channel_gate_function, gated_conv_function
from sanp_runtime.engines.onnxruntime.library import OpLibrary, find_library

CONV_INPUTS = ("x", "w", "scale", "shift", "in_active", "residual")
GATE_INPUTS = ("x", "w1", "b1", "w2", "b2", "bias", "mask")


def model_bytes(op: str, inputs: dict, outputs: tuple, constants: dict, function=None, **attributes) -> bytes:
    """A model of one node. `inputs` maps every name to a shape or None; names in `constants` become initializers."""
    node = helper.make_node(op, list(inputs), list(outputs), domain="sanp", **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items() if n not in constants],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("sanp", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=[function] if function else [], ir_version=9)
    return model.SerializeToString()


LIBRARY = OpLibrary(find_library())


def session(
    model: bytes, accelerated: bool = True, threads: int = 1, isa: str | None = None, **settings: int
) -> ort.InferenceSession:
    """A CPU session; `isa` and `settings` are those of `OpLibrary.session_entries`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if not accelerated:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for key, value in LIBRARY.session_entries(isa, **settings).items():
        options.add_session_config_entry(key, value)
    options.register_custom_ops_library(str(LIBRARY.path))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def usable_isas() -> list[str]:
    """Instruction sets that a session can ask for on this CPU."""
    return list(LIBRARY.isas)


@dataclass
class ConvCase:
    """A random gated convolution: attributes, weights and feeds, with the promises of the contract kept."""

    attributes: dict
    weights: np.ndarray
    feeds: dict

    def model(self, weights_constant: bool = True, function: bool = True) -> bytes:
        shapes = dict.fromkeys(CONV_INPUTS)
        shapes["x"] = ["N", *self.feeds["x"].shape[1:]]
        constants = {"w": self.weights} if weights_constant else {}
        body = gated_conv_function() if function else None
        return model_bytes("SanpGatedConv", shapes, ("y",), constants, body, **self.attributes)

    def tolerance(self) -> float:
        """Rounding of a float32 sum of this length, against the largest magnitudes involved; both sides have it."""
        k = self.weights[0].size + 4
        size = np.abs(self.feeds["x"]).max() * np.abs(self.weights).max() * np.abs(self.feeds["scale"]).max()
        return 2 * k * float(np.finfo(np.float32).eps) * (float(size) + 10.0)


def padded_conv(rng: np.random.Generator, ci: int, co: int, size: int, kernel: int = 3, stride: int = 1) -> ConvCase:
    """A batch of two, about 60 % of rows and channels open, padded by half the kernel, with ReLU."""
    weights = rng.standard_normal((co, ci, kernel, kernel)).astype(np.float32)
    active, scale = ((rng.random((2, n)) < 0.6).astype(np.float32) for n in (ci, co))
    x = rng.standard_normal((2, ci, size, size)).astype(np.float32) * active[:, :, None, None]
    feeds = {"x": x, "scale": scale, "shift": scale * 0.5, "in_active": active, "residual": np.zeros(1, np.float32)}
    attributes = {"strides": [stride] * 2, "pads": [kernel // 2] * 4, "dilations": [1, 1], "group": 1, "act_min": 0.0,
                  "act_max": math.inf}  # fmt: skip
    return ConvCase(attributes, weights, feeds)


def random_conv(rng: np.random.Generator) -> ConvCase:
    """Any convolution the contract allows, small enough to run hundreds of."""
    while True:
        group = int(rng.choice([1, 1, 1, 2, 3]))
        ci, co = group * int(rng.integers(1, 14)), group * int(rng.integers(1, 14))
        if rng.random() < 0.15:
            group, co = ci, ci * int(rng.integers(1, 3))
        kernel = rng.choice([1, 2, 3, 3, 5, 7], 2) if rng.random() < 0.3 else np.repeat(rng.choice([1, 3, 3, 5]), 2)
        strides, dilations = rng.choice([1, 1, 2, 3], 2), rng.choice([1, 1, 2], 2)
        pads, size = rng.integers(0, 4, 4), rng.integers(1, 36, 2)
        if rng.random() < 0.4:
            size = np.repeat(rng.choice([1, 2, 4, 8, 16, 32]), 2)
        out = (size + pads[:2] + pads[2:] - dilations * (kernel - 1) - 1) // strides + 1
        if (size + pads[:2] + pads[2:] >= dilations * (kernel - 1) + 1).all():
            break
    n = int(rng.integers(1, 6))
    rows = [n if rng.random() < 0.6 else 1 for _ in range(3)]

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    active = (rng.random((rows[0], ci)) < rng.choice([0.0, 0.5, 1.0])).astype(np.float32)
    scale = np.abs(normal(rows[1], co)) * (rng.random((rows[1], co)) < rng.choice([0.0, 0.5, 1.0]))
    # A shift row of its own is only consistent with a scale that masks the same channels for every sample.
    shift = normal(rows[2] if rows[1] == 1 else rows[1], co) * (scale != 0)
    residual = normal(n, co, *map(int, out)) if rng.random() < 0.5 else np.full(rng.choice([1]), rng.choice([0, 0.5]))
    feeds = {"x": normal(n, ci, *map(int, size)) * active[:, :, None, None], "scale": scale, "shift": shift,
             "in_active": active, "residual": residual}  # fmt: skip
    attributes = {
        "strides": strides.tolist(), "pads": pads.tolist(), "dilations": dilations.tolist(), "group": group,
        "act_min": float(rng.choice([0.0, -math.inf])), "act_max": float(rng.choice([6.0, math.inf])),
    }  # fmt: skip
    weights = normal(co, ci // group, *map(int, kernel))
    return ConvCase(attributes, weights, {k: np.asarray(v, np.float32) for k, v in feeds.items()})


@dataclass
class GateCase:
    """A random channel gate; one with `threshold` among its feeds has that input."""

    attributes: dict
    constants: dict
    feeds: dict

    def model(self) -> bytes:
        dial = "threshold" in self.feeds
        shapes = dict.fromkeys((*GATE_INPUTS, "threshold") if dial else GATE_INPUTS)
        shapes["x"] = ["N", *self.feeds["x"].shape[1:]]
        hidden, offset = self.constants["w1"].ndim == 2, self.constants["bias"].ndim == 2
        body = channel_gate_function(self.attributes["k"] > 0, hidden, offset, dial=dial)
        return model_bytes("SanpChannelGate", shapes, ("scale", "shift"), self.constants, body, **self.attributes)

    def turned(self, threshold: float) -> GateCase:
        """The same gate with this threshold as an input; the attribute, which it replaces, says something else."""
        attributes = {**self.attributes, "threshold": threshold + 100.0}
        feeds = {**self.feeds, "threshold": np.array([threshold], np.float32)}
        return GateCase(attributes, self.constants, feeds)


def random_gate(rng: np.random.Generator) -> GateCase:
    """Any gate the contract allows: with and without a hidden layer, an offset, a mask for every sample."""
    n, ci, hidden, co, h, w = (int(rng.integers(1, top)) for top in (5, 70, 40, 70, 20, 20))
    k = int(rng.integers(1, co)) if co > 1 and rng.random() < 0.5 else 0

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    constants = {"w1": normal(hidden, ci), "b1": normal(hidden), "w2": normal(co, hidden), "b2": normal(co),
                 "bias": normal(co)}  # fmt: skip
    if rng.random() < 0.3:
        constants.update(w1=normal(1), b1=normal(1), w2=normal(co, ci))
    if rng.random() < 0.5:
        constants["bias"] = normal(2, co)
    rows = n if rng.random() < 0.5 else 1
    feeds = {"x": normal(n, ci, h, w), "mask": (rng.random((rows, co)) < 0.7).astype(np.float32)}
    return GateCase({"threshold": float(rng.choice([0.0, 0.5])), "k": k}, constants, feeds)
