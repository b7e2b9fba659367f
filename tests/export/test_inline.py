"""Models without functions: the same answers in plain ONNX Runtime, OpenVINO and tract, and no bundle from one."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from sanp_export.exporter import export
from sanp_export.named_outputs import named_outputs
from sanp_export.open_size import ExportOptions
from sanp_export.variants import variants
from sanp_targets.errors import ExportError
from tests.support import exported_nets as nets

KINDS = ("residual", "concatenating", "sharing", "static", "top-k", "boosted")


@pytest.fixture(scope="module", params=KINDS)
def inlined(request):
    """(network, names of its outputs, model without functions)."""
    network = nets.make(request.param)
    model = export(network, nets.IMAGE, ExportOptions(inline=True))
    return network, [value.name for value in model.graph.output], model


def expected_of(network):
    with torch.no_grad():
        found = {name: value.numpy() for name, value in named_outputs(network(nets.IMAGE)).items()}
    scales = {f"gate.{name}": layer.scale.detach().numpy() for name, layer in nets.gated_layers(network).items()}
    return {**found, **scales}


def test_nothing_but_standard_operators_is_left(inlined):
    network, names, model = inlined
    assert not model.functions and {item.domain for item in model.opset_import} == {""}
    assert {node.domain for node in model.graph.node} == {""}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = expected_of(network)
    for name, value in zip(names, session.run(names, {"input": nets.IMAGE.numpy()})):
        np.testing.assert_allclose(np.broadcast_to(value, expected[name].shape), expected[name], rtol=1e-4, atol=1e-4)


def test_masks_still_close_channels(inlined):
    network, _, model = inlined
    name, layer = next(iter(nets.gated_layers(network).items()))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    closed = np.zeros((1, layer.conv.out_channels), np.float32)
    (gate,) = session.run([f"gate.{name}"], {"input": nets.IMAGE.numpy(), f"mask.{name}": closed})
    assert not gate.any()


def test_openvino_computes_the_same(inlined, tmp_path):
    openvino = pytest.importorskip("openvino")
    network, names, model = inlined
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(tmp_path / "net.onnx"), "CPU",
                                  {"INFERENCE_PRECISION_HINT": "f32"})  # fmt: skip
    found, expected = compiled({"input": nets.IMAGE.numpy()}), expected_of(network)
    for name in names:
        value = np.broadcast_to(found[name], expected[name].shape)
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("batch", [None, len(nets.IMAGE)], ids=["open", "fixed"])
def test_tract_computes_the_same(inlined, tmp_path, batch):
    tract = pytest.importorskip("tract")
    network, names, model = inlined
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    loaded = tract.onnx().load(str(tmp_path / "net.onnx"))
    assert [loaded.input_name(at) for at in range(loaded.input_count())] == ["input"], "masks are constants there"
    if batch is not None:
        loaded.set_input_fact(0, f"{batch},{','.join(map(str, nets.IMAGE.shape[1:]))},f32")
    found = loaded.into_model().into_runnable().run([nets.IMAGE.numpy()])
    expected = expected_of(network)
    for name, value in zip(names, found):
        answer = np.broadcast_to(value.to_numpy(), expected[name].shape)
        np.testing.assert_allclose(answer, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_shapes_in_between_are_left_to_the_reader(inlined):
    """Ours name one number by several symbols, which tract refuses to unify."""
    assert not inlined[2].graph.value_info


def test_no_bundle_is_made_from_one(inlined):
    with pytest.raises(ExportError, match="exported with --inline"):
        variants(inlined[2])
