"""Pairs of QuantizeLinear and DequantizeLinear for TensorRT: what the ranges say, and the same in its copy."""

from collections import Counter

import numpy as np
import onnxruntime
import pytest

from sanp_export.graph.byte_steps import byte_weights, ranged_tensors
from sanp_export.graph.model_file import layers_of, metadata_of, to_graph, to_model
from sanp_export.passes.tensorrt.quantise_inputs import quantise_inputs
from sanp_export.tensorrt import TensorrtOptions, convert
from sanp_runtime.contract import INPUT, LOGITS
from tests.support import exported_nets as nets
from tests.support.exported_nets import IMAGE
from tests.support.tensorrt_oracle import executable

X = IMAGE.numpy()


def run(model, names):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    masks = {item.name: np.ones((len(X), item.shape[1]), np.float32) for item in session.get_inputs()[1:]}
    return session.run(names, {INPUT: X, **masks})


def steps_of(model):
    graph = to_graph(model)
    tensors = {tensor.name: tensor for tensor in ranged_tensors(graph)}
    inside = [name for name in tensors if name != INPUT]
    graph.outputs += [tensors[name] for name in inside]
    values = dict(zip(inside, run(to_model(graph, metadata_of(model)), inside))) | {INPUT: X}
    return {name: float(np.abs(value).max() / 127) for name, value in values.items()}


def paired(model, layers, steps):
    graph = to_graph(model)
    changed = quantise_inputs(graph, layers, steps)
    return to_model(graph, metadata_of(model)), changed


def masked(model):
    return [row.name for row in layers_of(model) if row.masked]


def test_a_layer_reads_rounded_values_and_weights():
    net, made = nets.compiled("plain")
    model, changed = paired(made["gated"], ["b"], steps_of(made["gated"]))
    assert changed == 1
    graph = to_graph(model)
    conv = next(node for node in graph.nodes if node.name == "b/conv")
    pool = conv.inputs[0].inputs[0].inputs[0].inputs[0].inputs[0]
    weight = conv.inputs[1]
    graph.outputs += [pool, conv.inputs[0], weight]
    x, real, weights = run(to_model(graph, metadata_of(model)), [pool.name, conv.inputs[0].name, weight.name])
    step = np.float32(steps_of(made["gated"])[pool.name])
    np.testing.assert_allclose(real, np.clip(np.rint(x / step), -128, 127) * step, rtol=1e-6, atol=1e-7)
    codes, sizes = byte_weights(net.b.gated_conv_spec().weight.detach().numpy())
    np.testing.assert_allclose(weights, codes * sizes[:, None, None, None], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["residual", "sharing"])
def test_every_variant_answers_like_float32_and_its_copy_the_same(kind):
    _, made = nets.compiled(kind)
    steps, names = steps_of(made["open"]), masked(made["gated"])
    for variant in ("open", "replay", "dense"):  # masks of ones: scales are 1 in all of them
        model, changed = paired(made[variant], names, steps)
        assert changed == len(names), variant
        expected, found = run(made[variant], [LOGITS])[0], run(model, [LOGITS])[0]
        error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        assert 0 < error < 0.06, (variant, error)
        copy = convert(model, TensorrtOptions(plugin_layers=frozenset()))
        ops = Counter(node.op_type for node in copy.graph.node)
        assert ops["QuantizeLinear"] == ops["DequantizeLinear"] > len(names)
        np.testing.assert_allclose(
            run(executable(copy), [LOGITS])[0], found, rtol=1e-3, atol=1e-3 * np.abs(found).max()
        )


def test_layers_of_the_plugin_stay_and_a_second_run_changes_nothing():
    _, made = nets.compiled("residual")
    steps, names = steps_of(made["gated"]), masked(made["gated"])
    graph = to_graph(made["gated"])
    assert quantise_inputs(graph, [], steps) == 0
    assert quantise_inputs(graph, names[::2], steps) == len(names[::2])
    assert quantise_inputs(graph, names[::2], steps) == 0
    copy = convert(to_model(graph, metadata_of(made["gated"])), TensorrtOptions(plugin_layers=frozenset(names[1::2])))
    assert {node.name for node in copy.graph.node if node.op_type == "SanpGatedConv"} == {
        f"{name}/conv" for name in names[1::2]
    }
