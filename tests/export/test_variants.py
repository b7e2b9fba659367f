"""The four graphs of a bundle: dense and all-open agree, replay reproduces, weights are stored once."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from sanp_export.exporter import export
from sanp_export.open_size import ExportOptions
from sanp_export.variants import share_weights, variants
from sanp_runtime.contract import WEIGHTS_FILE
from sanp_targets.errors import ExportError
from tests.support import exported_nets as nets

IMAGE = nets.IMAGE


def run(source, outputs, **masks):
    feeds = {"input": IMAGE.numpy(), **{f"mask.{name}": mask for name, mask in masks.items()}}
    session = ort.InferenceSession(source)
    return session.run(outputs, feeds), session


@pytest.fixture(scope="module", params=list(nets.NETS))
def graphs(request):
    return nets.compiled(request.param)


def dense_reference(net):
    """The same weights without gates: PyTorch with every scale set to one."""
    kept = {}
    for name, module in nets.gated_layers(net).items():
        kept[name] = module.forward
        module.scale = None  # whoever follows it is open
        module.forward = lambda x, module=module: (
            module.norm(module.conv(x)) + (module.offset[:, None, None] if module.boosted else 0)
        )
    with torch.no_grad():
        logits = net(IMAGE).numpy()
    for name, module in nets.gated_layers(net).items():
        module.forward = kept[name]
    return logits


def test_open_and_dense_equal_the_ungated_network(graphs):
    net, models = graphs
    expected = dense_reference(net)
    for name in ("open", "dense"):
        (logits,), _ = run(models[name].SerializeToString(), ["logits"])
        np.testing.assert_allclose(logits, expected, rtol=2e-4, atol=1e-4 * np.abs(expected).max(), err_msg=name)


def test_dense_has_only_standard_operators(graphs):
    _, models = graphs
    assert {node.domain for node in models["dense"].graph.node} == {""}
    assert not models["dense"].functions
    assert [value.name for value in models["dense"].graph.output] == ["logits"]
    assert [value.name for value in models["dense"].graph.input] == ["input"]


def test_open_still_computes_its_gates(graphs):
    _, models = graphs
    count = {name: [n.op_type for n in models[name].graph.node].count("SanpChannelGate") for name in ("gated", "open")}
    assert count["open"] == count["gated"]


def test_replay_reproduces_recorded_scales(graphs):
    net, models = graphs
    with torch.no_grad():
        expected = net(IMAGE).numpy()
    scales = {name: module.scale.numpy() for name, module in nets.gated_layers(net).items()}
    (logits,), _ = run(models["replay"].SerializeToString(), ["logits"], **scales)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_shared_weights_load_from_one_file(graphs, tmp_path):
    _, models = graphs
    files, layout = share_weights(models)
    blob = b"".join(layout.chunks())
    (tmp_path / WEIGHTS_FILE).write_bytes(blob)
    stored = sum(onnx.numpy_helper.to_array(t).nbytes for t in models["gated"].graph.initializer)
    assert len(blob) < stored + 4096 * len(models["gated"].graph.initializer)
    for name, content in files.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        (before,), _ = run(models[name].SerializeToString(), ["logits"])
        (after,), _ = run(str(path), ["logits"])
        np.testing.assert_array_equal(before, after)


def test_a_mask_only_export_cannot_be_compiled():
    with pytest.raises(ExportError, match="no learned gates"):
        variants(export(nets.make("plain"), IMAGE, ExportOptions(gates="mask")))


@pytest.mark.parametrize("name", ["gated", "open", "replay"])
def test_each_mask_may_have_one_row_or_a_row_for_each_sample(graphs, name):
    """ONNX Runtime shares buffers between tensors that it believes equal in size: every mix of rows must run."""
    _, models = graphs
    session = ort.InferenceSession(models[name].SerializeToString())
    inputs = [*session.get_inputs(), *session.get_overridable_initializers()]
    masks = {item.name: item.shape[1] for item in inputs if item.name.startswith("mask.")}
    expected = None
    for rows in itertools.product((None, 1, len(IMAGE)), repeat=len(masks)):
        feeds = {key: np.ones((n, width), np.float32) for (key, width), n in zip(masks.items(), rows) if n is not None}
        (logits,) = session.run(["logits"], {"input": IMAGE.numpy(), **feeds})
        expected = logits if expected is None else expected
        np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=1e-6, err_msg=str(rows))
