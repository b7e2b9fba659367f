"""The function bodies against float64 NumPy written from docs/operators.md."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from sanp_export.functions import OPSET, channel_gate_function, gated_conv_function
from sanp_runtime.contract import DOMAIN


def run_node(node, feeds, function):
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in feeds.items()]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output]
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    graph = helper.make_graph([node], "node", inputs, outputs)
    model = helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=9)
    return ort.InferenceSession(model.SerializeToString()).run(None, feeds)


def conv_reference(x, w, stride, pads, dilation, groups):
    n, ci, _, _ = x.shape
    co, _, kh, kw = w.shape
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    ho = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    wo = (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, co, ho, wo))
    for o in range(co):
        g = o // (co // groups)
        part = x[:, g * ci // groups : (g + 1) * ci // groups]
        for r in range(kh):
            for c in range(kw):
                top, left = r * dilation[0], c * dilation[1]
                window = part[:, :, top : top + ho * stride[0] : stride[0], left : left + wo * stride[1] : stride[1]]
                y[:, o] += np.einsum("nihw,i->nhw", window[:, :, :ho, :wo], w[o, :, r, c])
    return y


@pytest.mark.parametrize("seed", range(12))
def test_gated_conv_function_matches_float64(seed):
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 4]))
    ci, co = groups * int(rng.integers(1, 5)), groups * int(rng.integers(1, 6))
    kernel, stride, dilation = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 3, 2)
    pads, batch = rng.integers(0, 3, 4), int(rng.integers(1, 4))
    height, width = (int(dilation[i] * (kernel[i] - 1) + 1 + rng.integers(0, 8)) for i in range(2))
    low, high = [(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0)][seed % 3]
    x = rng.standard_normal((batch, ci, height, width)).astype("f")
    w = rng.standard_normal((co, ci // groups, *kernel)).astype("f")
    scale = (rng.random((batch if seed % 2 else 1, co)) * (rng.random(co) > 0.4)).astype("f")
    shift = (scale * rng.standard_normal(co)).astype("f")
    conv = conv_reference(x, w, stride, pads, dilation, groups)
    residual = rng.standard_normal(conv.shape).astype("f") if seed % 4 == 0 else np.zeros(1, "f")
    expected = np.clip(scale[:, :, None, None] * conv + shift[:, :, None, None] + residual, low, high)
    node = helper.make_node(
        "SanpGatedConv",
        ["x", "w", "scale", "shift", "in_active", "residual"],
        ["y"],
        domain=DOMAIN,
        strides=stride.tolist(),
        pads=pads.tolist(),
        dilations=dilation.tolist(),
        group=groups,
        act_min=low,
        act_max=high,
    )
    feeds = {"x": x, "w": w, "scale": scale, "shift": shift, "in_active": np.ones((1, ci), "f"), "residual": residual}
    (actual,) = run_node(node, feeds, gated_conv_function())
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max() + 1e-7)


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("hidden_layer", [True, False])
@pytest.mark.parametrize(("k", "top_k"), [(0, False), (0, True), (1, True), (4, True), (8, True)])
def test_channel_gate_function_matches_definition(k, top_k, hidden_layer, offset):
    rng = np.random.default_rng(k)
    n, ci, hidden, co = 6, 5, 4, 9
    feeds = {
        "x": rng.standard_normal((n, ci, 7, 3)),
        "w1": rng.standard_normal((hidden, ci) if hidden_layer else 1),
        "b1": rng.standard_normal(hidden if hidden_layer else 1),
        "w2": rng.standard_normal((co, hidden if hidden_layer else ci)),
        "b2": rng.standard_normal(co),
        "bias": rng.standard_normal((2, co) if offset else co),
        "mask": rng.integers(0, 2, (n, co)).astype(float),
    }
    feeds = {name: value.astype("f") for name, value in feeds.items()}
    feeds["w2"][3], feeds["b2"][3] = feeds["w2"][2], feeds["b2"][2]  # two equal saliencies: ties must close
    z = feeds["x"].astype(np.float64).mean((2, 3))
    read = np.maximum(z @ feeds["w1"].T + feeds["b1"], 0) if hidden_layer else z
    s = np.maximum(read @ feeds["w2"].T + feeds["b2"], 0)
    threshold = 0.25
    bound = np.maximum(np.sort(s, 1)[:, ::-1][:, k : k + 1], threshold) if k else threshold
    open_channels = s > bound
    assert 0 < open_channels.sum() < open_channels.size
    if k:
        assert open_channels.sum(1).max() <= k
    scale = s * open_channels * feeds["mask"]
    node = helper.make_node("SanpChannelGate", list(feeds), ["scale", "shift"], domain=DOMAIN, threshold=threshold, k=k)
    actual_scale, actual_shift = run_node(node, feeds, channel_gate_function(top_k, hidden_layer, offset))
    shift = scale * feeds["bias"][0] + (scale != 0) * feeds["bias"][1] if offset else scale * feeds["bias"]
    np.testing.assert_allclose(actual_scale, scale, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(actual_shift, shift, rtol=1e-4, atol=1e-6)


def test_functions_declare_only_standard_operators():
    gates = [channel_gate_function(*form) for form in itertools.product([False, True], repeat=3)]
    for function in (gated_conv_function(), *gates):
        assert {node.domain for node in function.node} == {""}
        for node in function.node:
            onnx.defs.get_schema(node.op_type, OPSET)
