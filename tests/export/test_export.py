"""The exported file against PyTorch: logits, gates, control inputs and cost, in plain ONNX Runtime."""

import re

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from sanp_export.exporter import export
from sanp_export.graph.model_file import layers_of
from sanp_export.open_size import ExportOptions
from sanp_runtime.network.macs import sample_macs
from sanp_targets.errors import ExportError
from tests.support import exported_nets as nets

ort.set_default_logger_severity(3)
IMAGE = torch.randn(7, 3, 17, 15, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=list(nets.NETS))
def exported(request):
    net = nets.make(request.param)
    return net, export(net, IMAGE, ExportOptions(macs_output=True))


def run(model, x, **masks):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"input": x.numpy(), **{f"mask.{name}": mask for name, mask in masks.items()}}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def reference(net, x, masks=None):
    for name, module in nets.gated_layers(net).items():
        mask = (masks or {}).get(name)
        module.mask = torch.ones(1, module.conv.out_channels) if mask is None else torch.from_numpy(mask)
    with torch.no_grad():
        logits = net(x).numpy()
    return logits, {name: module.scale.numpy() for name, module in nets.gated_layers(net).items()}


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_logits_and_gates_equal_pytorch_at_any_batch(exported, batch):
    net, model = exported
    logits, scales = reference(net, IMAGE[:batch])
    outputs = run(model, IMAGE[:batch])
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-4, atol=1e-5)
    for name, scale in scales.items():
        actual = np.broadcast_to(outputs[f"gate.{name}"], scale.shape)
        np.testing.assert_array_equal(actual > 0, scale > 0, err_msg=name)
        np.testing.assert_allclose(actual, scale, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 7])
def test_masks_force_channels_off_per_model_or_per_sample(exported, rows):
    net, model = exported
    rng = np.random.default_rng(rows)
    masks = {
        name: (rng.random((rows, module.conv.out_channels)) > 0.4).astype("f")
        for name, module in nets.gated_layers(net).items()
    }
    logits, scales = reference(net, IMAGE, masks)
    outputs = run(model, IMAGE, **masks)
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-4, atol=1e-5)
    for name, mask in masks.items():
        assert not outputs[f"gate.{name}"][np.broadcast_to(mask == 0, outputs[f"gate.{name}"].shape)].any()
        np.testing.assert_allclose(
            np.broadcast_to(outputs[f"gate.{name}"], scales[name].shape), scales[name], rtol=1e-4
        )
    reference(net, IMAGE)


def test_overriding_one_mask_leaves_the_other_layers_alone(exported):
    """The exporter merges equal initialisers: masks of equal width must not have become one."""
    net, model = exported
    first = next(iter(nets.gated_layers(net)))
    width = nets.gated_layers(net)[first].conv.out_channels
    outputs = run(model, IMAGE, **{first: np.zeros((1, width), "f")})
    for name in nets.gated_layers(net):
        expected_off = name == first
        assert (not outputs[f"gate.{name}"].any()) == expected_off or name != first


def test_macs_output_equals_the_runtime_and_brute_force(exported):
    net, model = exported
    outputs = run(model, IMAGE)
    codes = {
        name.removeprefix("gate."): np.broadcast_to(v, (7, v.shape[1]))
        for name, v in outputs.items()
        if "gate." in name
    }
    expected = sample_macs(layers_of(model), codes)
    assert outputs["macs"].shape == (7,)
    np.testing.assert_allclose(outputs["macs"], expected, rtol=1e-6)
    # Always the same number of channels: a constant gate, or a limit that every sample reaches.
    constant = all(layer.static is not None or layer.boosted for layer in nets.gated_layers(net).values())
    assert len(set(expected)) > 1 or constant


def test_support_covers_every_channel_that_is_really_nonzero(exported):
    """Feed the true activity of each input as the oracle: no channel outside `in_active` may be nonzero."""
    net, model = exported
    seen = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args[0]))
        for name, module in nets.gated_layers(net).items()
    ]
    reference(net, IMAGE)
    for hook in hooks:
        hook.remove()
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    inputs = {
        node.name.removesuffix("/conv"): node.input[4] for node in model.graph.node if node.op_type == "SanpGatedConv"
    }
    known = {output.name for output in probe.graph.output} | {item.name for item in probe.graph.initializer}
    for name in set(inputs.values()) - known:
        probe.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    values = run(probe, IMAGE) | {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    skipped = 0
    for layer, x in seen.items():
        really = x.abs().amax((2, 3)).numpy() > 0
        active = np.broadcast_to(values[inputs[layer]] != 0, really.shape)
        assert not (really & ~active).any(), layer
        skipped += (~active).sum()
    assert skipped > 0


def test_mask_export_lets_the_mask_alone_decide():
    net = nets.make("residual")
    _, scales = reference(net, IMAGE)
    model = export(net, IMAGE, ExportOptions(gates="mask"))
    assert not any(node.op_type == "SanpChannelGate" for node in model.graph.node)
    np.testing.assert_allclose(run(model, IMAGE, **scales)["logits"], reference(net, IMAGE)[0], rtol=1e-4, atol=1e-5)


def test_file_is_clean(exported):
    net, model = exported
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 9
    text = str(model)
    assert not re.search(r"(/[\w.-]+){2,}\.py", text), "no source paths of the exporting machine"
    assert "Relu" not in {node.op_type for node in model.graph.node}, "activations are fused"
    gated = [node for node in model.graph.node if node.op_type == "SanpGatedConv"]
    assert {node.name for node in gated} == {f"{name}/conv" for name in nets.masked_layers(net)}
    overridable = {value.name for value in model.graph.input} - {"input"}
    assert overridable == {f"mask.{name}" for name in nets.gated_layers(net)}


def test_residual_additions_are_fused():
    model = export(nets.make("residual"), IMAGE)
    residuals = [
        node for node in model.graph.node if node.op_type == "SanpGatedConv" and "no_residual" not in node.input[5]
    ]
    assert len(residuals) == 2
    assert [node.op_type for node in model.graph.node].count("Add") <= 2, "only in_active sums remain"


def test_a_network_without_gates_has_no_mask_and_no_gate():
    model = export(torch.nn.Conv2d(3, 4, 3), IMAGE)
    assert [value.name for value in model.graph.input] == ["input"]
    assert [value.name for value in model.graph.output] == ["output"]  # a feature map, no logits
    assert not any(node.domain for node in model.graph.node) and not model.functions
    with pytest.raises(ExportError, match="no gated layer"):
        export(torch.nn.Conv2d(3, 4, 3), IMAGE, ExportOptions(gates="mask"))


def test_nan_weights_are_refused():
    net = nets.make("plain")
    net.b.conv.weight.data[0, 0, 0, 0] = float("nan")
    with pytest.raises(ExportError, match="layer b: weight holds NaN"):
        export(net, IMAGE)


def test_untraceable_networks_are_refused_in_one_sentence():
    class Branching(nets.Plain):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    with pytest.raises(ExportError, match="could not export"):
        export(Branching().eval(), IMAGE)


class _Counting(torch.nn.Conv2d):
    """A network that writes the number of samples as a number of Python."""

    def __init__(self, count):
        super().__init__(3, 4, 3)
        self.count = count

    def forward(self, x):
        return super().forward(x).mean((2, 3)).reshape(self.count(x), -1)


@pytest.mark.parametrize("count", [len, lambda x: int(x.shape[0])], ids=["len", "int"])
def test_a_fixed_number_of_samples_is_refused(count):
    """Both become a constant while torch traces: the file would answer for that batch alone."""
    with pytest.raises(ExportError, match=r"fixes the number of samples, expected code for any number; .*not from len"):
        export(_Counting(count).eval(), IMAGE)
    assert export(_Counting(lambda x: x.shape[0]).eval(), IMAGE).graph.output[0].type.tensor_type.shape.dim[0].dim_param


def test_gates_with_and_without_a_limit_share_a_file():
    """A density leaves narrow layers without a limit; one function body serves both."""
    net = nets.make("plain")
    net.b.k = 3
    with torch.no_grad():
        expected = net(IMAGE).numpy()
    assert 0 < (net.b.scale != 0).sum(1).max() <= 3 < (net.a.scale != 0).sum(1).max()
    np.testing.assert_allclose(run(export(net, IMAGE), IMAGE)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_mixed_forms_of_gates_are_refused():
    net = nets.make("plain")
    net.b = nets.HandGated(12, 16, stride=2, boosted=True).eval()
    with pytest.raises(ExportError, match="with and without a hidden layer"):
        export(net, IMAGE)


def test_a_network_that_changes_the_batch():
    """The batch after a concatenation along axis 0 is another symbol, and memory plans must not mix them up."""

    class Doubling(nets.Plain):
        def forward(self, x):
            x = self.a(x).relu()
            x = self.b(torch.cat([x, x.flip(3)], 0)).relu()
            logits = self.head(torch.nn.functional.adaptive_avg_pool2d(self.c(x), 1)).flatten(1)
            return logits.unflatten(0, (2, -1)).sum(0) if self.folds else logits

    torch.manual_seed(0)
    net = Doubling().eval()
    net.folds = False
    with pytest.raises(ExportError, match="a row for each sample"):
        export(net, IMAGE)
    net.folds = True
    with torch.no_grad():
        expected = net(IMAGE).numpy()
    np.testing.assert_allclose(run(export(net, IMAGE), IMAGE)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_attention_is_exported_and_not_counted():
    class Attending(nets.Plain):
        def forward(self, x):
            x = self.b(self.a(x).relu()).relu().flatten(2)
            return (x @ x.transpose(1, 2)).softmax(-1).mean(1)

    torch.manual_seed(0)
    net = Attending().eval()
    model = export(net, IMAGE)
    assert [layer.name for layer in layers_of(model)] == ["a", "b"]
    with torch.no_grad():
        np.testing.assert_allclose(run(model, IMAGE)["logits"], net(IMAGE).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mask", "input", "logits", "gate", "a b", "ü"])
def test_layer_names_that_look_like_ours(name):
    class Named(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module(name, nets.HandGated(3, 8))
            self.last = torch.nn.Conv2d(8, 4, 1)

        def forward(self, x):
            return self.last(getattr(self, name)(x).relu()).mean((2, 3))

    torch.manual_seed(0)
    net = Named().eval()
    model = export(net, IMAGE)
    assert {value.name for value in model.graph.input} == {"input", f"mask.{name}"}
    with torch.no_grad():
        np.testing.assert_allclose(run(model, IMAGE)["logits"], net(IMAGE).numpy(), rtol=1e-4, atol=1e-5)


def test_the_root_cause_is_named_without_terminal_codes():
    class Unsupported(nets.Plain):
        def forward(self, x):
            return super().forward(x.clamp(0, 2.5))

    try:
        export(Unsupported().eval(), IMAGE)
    except ExportError as error:
        assert "\x1b" not in str(error) and "Next steps" not in str(error)
