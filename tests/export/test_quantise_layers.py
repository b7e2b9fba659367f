"""Gated layers on bytes: against arithmetic of PyTorch, against the float network, and what stays float32."""

from collections import Counter

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch.nn import functional as F

from sanp_export.graph.byte_steps import Step, byte_weights, ranged_tensors, step_of
from sanp_export.graph.model_file import layers_of, metadata_of, to_graph, to_model
from sanp_export.graph.patterns import layer_of
from sanp_export.passes.count_steps import count_steps
from sanp_export.passes.quantise_layers import quantise_layers
from sanp_runtime.contract import (
    CHANNEL_GATE,
    GATED_CONV,
    GATED_QLINEAR_CONV,
    INPUT,
    LOGITS,
    MAX_POOL,
    QLINEAR_CHANNEL_GATE,
    mask_input,
    steps_output,
)
from tests.support import exported_nets as nets
from tests.support.exported_nets import IMAGE

onnxruntime = pytest.importorskip("onnxruntime")
X = IMAGE.numpy()


def run(model, names, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(names, {INPUT: X, **feeds})


def steps_for(model, feeds=None):
    """Ranges of the feature maps as a plain run has them, without the calibrators of the compiler."""
    graph = to_graph(model)
    tensors = {tensor.name: tensor for tensor in ranged_tensors(graph)}
    inside = [name for name in tensors if name != INPUT]
    graph.outputs += [tensors[name] for name in inside]
    values = dict(zip(inside, run(to_model(graph, metadata_of(model)), inside, feeds or {}))) | {INPUT: X}
    return {name: step_of(value.min(), value.max()) for name, value in values.items()}


def quantised(model, layers, steps):
    graph = to_graph(model)
    quantise_layers(graph, layers, steps)
    return to_model(graph, metadata_of(model))


def masked(model):
    return [row.name for row in layers_of(model) if row.masked]


def ops(model):
    return Counter(node.op_type for node in model.graph.node)


def test_steps_hold_both_ends_and_zero():
    rng = np.random.default_rng(0)
    for low, high in [*(np.sort(rng.normal(size=2) * 10 ** rng.uniform(-4, 4)) for _ in range(200)), (0, 3), (-2, 0)]:
        step = step_of(low, high)
        assert 0 <= step.zero <= 255 and step.size > 0
        reached = np.array([0 - step.zero, 255 - step.zero]) * step.size
        assert reached[0] <= min(low, 0) + step.size and reached[1] >= max(high, 0) - step.size
    assert step_of(0.0, 5.1).zero == 0 and step_of(0.0, 0.0) == Step(1.0, 0)


def test_weights_are_rounded_per_channel_and_never_reach_minus_128():
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((9, 5, 3, 3)).astype(np.float32) * 10.0 ** rng.integers(-3, 3, (9, 1, 1, 1))
    weights[4] = 0
    values, sizes = byte_weights(weights.astype(np.float32))
    assert values.dtype == np.int8 and np.abs(values.astype(int)).max() == 127 and sizes[4] == 1
    assert (
        np.abs(values * sizes[:, None, None, None].astype(np.float64) - weights) <= 0.501 * sizes[:, None, None, None]
    ).all()


@pytest.mark.parametrize("kind", nets.NETS)
def test_the_network_of_bytes_answers_like_the_float_network(kind):
    """With the gates of the float network, so that only rounding differs; random networks lose a few percent."""
    _, made = nets.compiled(kind)
    replay, gated = made["replay"], made["gated"]
    names = [row.name for row in layers_of(gated) if row.gated]
    scales = run(gated, [f"gate.{name}" for name in names], {})
    feeds = {mask_input(name): value for name, value in zip(names, scales)}
    steps = steps_for(replay, feeds)
    found = quantised(replay, masked(gated), steps)
    assert GATED_CONV not in ops(found) and ops(found)[GATED_QLINEAR_CONV] == len(masked(gated))
    expected, got = run(replay, [LOGITS], feeds)[0], run(found, [LOGITS], feeds)[0]
    error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.04, error


def test_a_layer_of_bytes_is_that_arithmetic():
    """The first layer of `Plain` in PyTorch: bytes in, integer products, bytes out."""
    net, made = nets.compiled("plain")
    steps = steps_for(made["gated"])
    model = quantised(made["gated"], masked(made["gated"]), steps)
    graph = to_graph(model)
    conv = next(node for node in graph.nodes if node.op == GATED_QLINEAR_CONV and layer_of(node) == "a")
    graph.outputs += [conv.inputs[0], conv.inputs[5], conv.inputs[6], conv.outputs[0]]
    names = [tensor.name for tensor in graph.outputs[-4:]]
    x, scale, shift, y = run(to_model(graph, metadata_of(model)), names, {})
    step = steps[INPUT]
    np.testing.assert_array_equal(x, np.clip(np.rint(X / np.float32(step.size)) + step.zero, 0, 255))
    weight = net.a.gated_conv_spec().weight.detach().numpy()
    sizes = np.abs(weight).reshape(len(weight), -1).max(1) / 127
    codes = np.rint(weight / sizes[:, None, None, None])
    sums = F.conv2d(torch.from_numpy(x.astype(np.float64) - step.zero), torch.from_numpy(codes.astype(np.float64)))
    real = sums.numpy() * (step.size * sizes)[:, None, None] * scale[..., None, None] + shift[..., None, None]
    out = steps[conv.outputs[0].name.removesuffix(".bytes")]
    expected = np.clip(np.rint(np.maximum(real, 0) / out.size) + out.zero, 0, 255)
    apart = np.abs(expected - y)
    assert out.zero == 0 and apart.max() <= 1 and (apart > 0).mean() < 1e-3


def test_pools_move_bytes_and_gates_read_them():
    _, made = nets.compiled("plain")
    model = quantised(made["gated"], masked(made["gated"]), steps_for(made["gated"]))
    found = ops(model)
    assert found["QuantizeLinear"] == 1 and found["DequantizeLinear"] == 1, "the image and the mean before the head"
    assert found[QLINEAR_CHANNEL_GATE] == 3 and CHANNEL_GATE not in found
    pool = next(node for node in model.graph.node if node.op_type == MAX_POOL)
    assert pool.input[0].endswith(".bytes") and pool.output[0].endswith(".bytes")
    assert {function.name for function in model.functions} == {GATED_QLINEAR_CONV, QLINEAR_CHANNEL_GATE, MAX_POOL}


def test_a_pool_that_rounds_its_size_up_stays_a_standard_operator():
    _, made = nets.compiled("plain")
    graph = to_graph(made["gated"])
    pool = next(node for node in graph.nodes if node.op == "MaxPool")
    pool.attrs["ceil_mode"] = 1
    steps = steps_for(made["gated"])
    quantise_layers(graph, masked(made["gated"]), steps)
    kept = next(node for node in graph.nodes if node.op in ("MaxPool", MAX_POOL))
    assert kept.op == "MaxPool" and kept.inputs[0].name.endswith(".bytes")


def test_a_gate_of_magnitudes_stays_float32_where_its_input_has_signs():
    _, made = nets.compiled("boosted")
    model = quantised(made["gated"], masked(made["gated"]), steps_for(made["gated"]))
    found = ops(model)
    assert found[CHANNEL_GATE] == 1 and found[QLINEAR_CHANNEL_GATE] == 2 and found["Abs"] == 1


@pytest.mark.parametrize("kind", ["residual", "sharing"])
def test_layers_that_stay_float32_meet_bytes_at_borders(kind):
    _, made = nets.compiled(kind)
    names = masked(made["gated"])
    steps = steps_for(made["gated"])
    for kept in names:
        model = quantised(made["gated"], [name for name in names if name != kept], steps)
        convs = [node for node in model.graph.node if node.op_type == GATED_CONV]
        assert [node.name for node in convs] == [f"{kept}/conv"]
        weight = next(item for item in model.graph.initializer if item.name == convs[0].input[1])
        assert numpy_helper.to_array(weight).dtype == np.float32
        expected, got = run(made["gated"], [LOGITS], {})[0], run(model, [LOGITS], {})[0]
        assert np.isfinite(got).all() and np.abs(got - expected).max() < np.abs(expected).max(), kept


def test_nothing_changes_without_layers_and_in_a_second_run():
    _, made = nets.compiled("residual")
    steps, names = steps_for(made["gated"]), masked(made["gated"])
    graph = to_graph(made["gated"])
    assert quantise_layers(graph, [], steps) == 0
    assert quantise_layers(graph, names, steps) > 0 and quantise_layers(graph, names, steps) == 0
    assert count_steps(graph) == len(names) and count_steps(graph) == 0


def test_the_oracle_sees_a_wrong_byte():
    """Standard operators against standard operators are equal; with another zero point in the layer they are not."""
    _, made = nets.compiled("residual")
    names = masked(made["gated"])
    graph = to_graph(quantised(made["replay"], names, steps_for(made["gated"])))
    count_steps(graph)
    model = to_model(graph, metadata_of(made["replay"]))
    outputs = [steps_output(name) for name in names]
    assert all((value == 0).all() and value.shape == (len(X),) for value in run(model, outputs, {}))
    wrong = to_graph(model)
    conv = next(node for node in wrong.nodes if node.name == "a2/conv" and node.op == GATED_QLINEAR_CONV)
    zero = conv.inputs[12].copy()
    zero.name, zero.values = "wrong.zero", np.array(3, np.uint8)
    conv.inputs[12] = zero
    apart = dict(zip(names, run(to_model(wrong, metadata_of(model)), outputs, {})))
    assert (apart["a2"] == 3).all() and all((apart[name] == 0).all() for name in names if name != "a2")
