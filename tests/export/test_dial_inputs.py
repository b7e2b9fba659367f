"""Thresholds as inputs: the graph against PyTorch at the same thresholds, and what a dial does not change."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch

from sanp_export.graph import model_file
from sanp_export.passes.dial_inputs import dial_inputs, drop_dial
from sanp_export.tensorrt import TensorrtOptions, convert
from tests.support import exported_nets as nets


def turned(kind):
    """The variant gated with its dial, and how many gates have one."""
    _, models = nets.compiled(kind)
    graph = model_file.to_graph(models["gated"])
    changes = dial_inputs(graph)
    return model_file.to_model(graph, model_file.metadata_of(models["gated"])), changes


def session(model):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def pytorch(kind, levels):
    """Logits and scales of the network by hand with these thresholds."""
    net, _ = nets.compiled(kind)
    hooks = []
    for name, layer in nets.gated_layers(net).items():
        if name in levels:
            closing = lambda module, args, level=levels[name]: setattr(module, "level", level)  # noqa: E731
            hooks.append(layer.register_forward_pre_hook(closing))
    with torch.no_grad():
        logits = net(nets.IMAGE).numpy()
    for hook in hooks:
        hook.remove()
    scales = {name: layer.scale.numpy() for name, layer in nets.gated_layers(net).items()}
    for layer in nets.gated_layers(net).values():
        layer.level = 0.0
    return logits, scales


@pytest.mark.parametrize("kind", ["plain", "residual", "concatenating", "sharing", "top-k", "boosted"])
def test_random_thresholds_close_what_pytorch_closes(kind):
    model, changes = turned(kind)
    rng = np.random.default_rng(1)
    _, trained = pytorch(kind, {})
    # Half of the gates are turned, each between two of its saliencies.
    names = list(trained)[::2]
    levels = {}
    for name in names:
        values = np.unique(trained[name])
        at = int(rng.integers(1, len(values)))
        levels[name] = float(np.float32((values[at - 1] + values[at]) / 2))
    logits, scales = pytorch(kind, levels)
    feeds = {"input": nets.IMAGE.numpy(), **{f"threshold.{name}": np.array([v], "f") for name, v in levels.items()}}
    outputs = ["logits", *(f"gate.{name}" for name in scales)]
    found = dict(zip(outputs, session(model).run(outputs, feeds)))
    assert changes == len(trained)
    for name, scale in scales.items():
        np.testing.assert_array_equal(found[f"gate.{name}"] != 0, scale != 0, err_msg=name)
    assert any((scales[name] != 0).sum() < (trained[name] != 0).sum() for name in names)
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-3, atol=1e-4 * np.abs(logits).max())


def test_unfed_thresholds_change_no_bit():
    _, models = nets.compiled("residual")
    model, _ = turned("residual")
    feeds = {"input": nets.IMAGE.numpy()}
    for before, after in zip(session(models["gated"]).run(None, feeds), session(model).run(None, feeds)):
        assert before.tobytes() == after.tobytes()


def test_a_second_run_changes_nothing_and_the_file_says_its_version():
    _, models = nets.compiled("plain")
    model, changes = turned("plain")
    graph = model_file.to_graph(model)
    assert changes == 3 and dial_inputs(graph) == 0
    again = model_file.to_model(graph, model_file.metadata_of(model))
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)
    versions = [
        {item.domain: item.version for item in proto.opset_import}["sanp"] for proto in (models["gated"], model)
    ]
    assert versions == [1, 2]
    inputs = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input}
    assert [shape for name, shape in inputs.items() if name.startswith("threshold.")] == [[1]] * 3
    assert drop_dial(graph) == 3 and drop_dial(graph) == 0
    bare = model_file.to_model(graph, model_file.metadata_of(model))
    assert {value.name for value in bare.graph.input} == {value.name for value in models["gated"].graph.input}


def test_static_gates_have_no_dial():
    model, changes = turned("static")
    assert changes == 0 and not any(value.name.startswith("threshold.") for value in model.graph.input)


@pytest.mark.parametrize("plugin_layers", [None, frozenset()], ids=["plugin", "native"])
def test_the_tensorrt_copy_has_the_trained_thresholds(plugin_layers):
    _, models = nets.compiled("plain")
    options = TensorrtOptions(plugin_layers=plugin_layers)
    with_dial, without = convert(turned("plain")[0], options), convert(models["gated"], options)
    assert [value.name for value in with_dial.graph.input] == [value.name for value in without.graph.input]
    assert [node.SerializeToString() for node in with_dial.graph.node] == [
        node.SerializeToString() for node in without.graph.node
    ]
