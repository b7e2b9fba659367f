"""A network that rounds in PyTorch: steps as the exporter's, bytes as those of the compiled network, and back."""

import copy
import json

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from sanp import models
from sanp.data.batch import Batch
from sanp.methods.registry import gate
from sanp.pipeline.compile.int8.control import opened, quantised
from sanp.pipeline.compile.int8.ranges import learned_steps
from sanp.quantising.network import RANGES, as_float32, fake_quantise, measure_ranges
from sanp.quantising.rounding import FollowedRange, rounded_conv, rounded_weights
from sanp.tracing.gated_layer import GatedLayer
from sanp_export.exporter import export
from sanp_export.graph.byte_steps import byte_weights, step_of
from sanp_export.graph.model_file import RANGES_KEY, metadata_of, ranges_of, to_graph, to_model
from sanp_export.graph.patterns import QLINEAR_Y_SCALE, layer_of
from sanp_export.spec import fold_batch_norm
from sanp_runtime.contract import GATED_QLINEAR_CONV, INPUT, LOGITS
from sanp_targets.errors import ConfigError
from tests.toolchain.quantising.test_positions import spread


def test_steps_and_zero_points_are_the_exporters():
    rng = np.random.default_rng(0)
    for low, high in [
        *(np.sort(rng.normal(size=2) * 10 ** rng.uniform(-4, 4)) for _ in range(300)),
        (0, 0),
        (-1, -0.5),
    ]:
        ranged = FollowedRange()
        ranged.low.fill_(min(float(low), 0.0))
        ranged.high.fill_(max(float(high), 0.0))
        size, zero = ranged.step()
        expected = step_of(*ranged.limits())
        assert (float(size), int(zero)) == (expected.size, expected.zero)


def test_weights_are_the_exporters_bytes():
    torch.manual_seed(1)
    weight = torch.randn(9, 5, 3, 3) * 10.0 ** torch.randint(-3, 3, (9, 1, 1, 1))
    weight[4] = 0
    codes, sizes = byte_weights(weight.numpy())
    real = codes.astype(np.float32) * sizes[:, None, None, None]
    # A weight in the middle of two steps may go either way: the exporter divides in double precision.
    apart = np.abs(rounded_weights(weight).numpy() - real) / sizes[:, None, None, None]
    assert apart.max() <= 1.001 and (apart > 0.001).mean() < 1e-3


def test_batch_norms_are_folded_as_the_exporter_does_and_learn():
    torch.manual_seed(2)
    conv, norm = nn.Conv2d(4, 6, 3, padding=1), spread(nn.Sequential(nn.BatchNorm2d(6)))[0].eval()
    x = torch.randn(2, 4, 8, 8)
    weight, bias = fold_batch_norm(conv, norm)
    codes, sizes = byte_weights(weight.numpy())
    real = torch.from_numpy(codes.astype(np.float32) * sizes[:, None, None, None])
    y = rounded_conv(conv, norm, x)
    torch.testing.assert_close(y, nn.functional.conv2d(x, real, bias, padding=1), rtol=1e-4, atol=1e-4)
    y.square().sum().backward()
    assert all(item.grad is not None and item.grad.abs().sum() > 0 for item in (*conv.parameters(), *norm.parameters()))


def test_a_graph_with_the_number_of_samples_in_it_is_refused():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 4)

        def forward(self, x):
            if x.shape[1] != 3:
                raise ValueError("three channels, please")
            return self.head(self.b(self.a(x)).mean((2, 3)).view(x.shape[0], -1))

    net = gate(Branch(), torch.zeros(1, 3, 8, 8))
    with pytest.raises(ConfigError, match="Branch is traced with the number of samples in it"):
        fake_quantise(net, torch.zeros(1, 3, 8, 8))
    assert not hasattr(net, RANGES) and net(torch.zeros(5, 3, 8, 8)).shape == (5, 4)


def test_a_range_follows_its_tensor_in_training_only():
    ranged = FollowedRange()
    ranged(torch.tensor([-1.0, 3.0]))
    assert ranged.limits() == (-1.0, 3.0)  # the first batch as it is
    ranged(torch.tensor([-1.0, 103.0]))
    assert ranged.limits() == pytest.approx((-1.0, 4.0))
    y = ranged.eval()(torch.tensor([1000.0, 0.0, -1000.0]))
    assert ranged.limits() == pytest.approx((-1.0, 4.0)) and y[1] == 0 and y[0] == pytest.approx(4.0, rel=0.02)
    x = torch.tensor([1000.0, 1.0], requires_grad=True)
    ranged(x).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]


KINDS = {
    "chain": ("m-cifarnet", {"method": "fbs"}),
    "shortcuts": ("resnet-20", {"layers": "layer1.0.conv1,layer1.0.conv2,layer2.0.conv2,layer3.0.shortcut.0"}),
}


def rounding(kind):
    """A network that rounds, random images, and the batches that gave its ranges."""
    torch.manual_seed(3)
    name, options = KINDS[kind]
    x = torch.randn(8, 3, 32, 32)
    net = spread(gate(models.build(name, 10, 0.25), x, **options)).eval()
    fake_quantise(net, x)
    measure_ranges(net, [Batch(x, torch.zeros(8, dtype=torch.long))])
    return net, x


def compiled(net, x):
    """Logits, and layer -> what its bytes stand for, of standard operators with the ranges that the network has."""
    plain = copy.deepcopy(net)
    ranges = as_float32(plain)
    model = export(plain, x, metadata={RANGES_KEY: json.dumps(ranges)})
    assert ranges_of(model) == ranges
    steps = learned_steps(opened(model), x.numpy())
    made = quantised(model, list(ranges), steps)
    graph = to_graph(made)
    convs = {layer_of(node): node for node in graph.nodes if node.op == GATED_QLINEAR_CONV}
    assert set(convs) == set(ranges)
    graph.outputs += [conv.outputs[0] for conv in convs.values()]
    names = [LOGITS, *(conv.outputs[0].name for conv in convs.values())]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content = to_model(graph, metadata_of(made)).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    logits, *codes = session.run(names, {INPUT: x.numpy()})
    real = {}
    for (layer, conv), value in zip(convs.items(), codes):
        size, zero = (conv.inputs[at].values.item() for at in (QLINEAR_Y_SCALE, QLINEAR_Y_SCALE + 1))
        real[layer] = (value.astype(np.float32) - zero) * np.float32(size)
    return logits, real


@pytest.mark.parametrize("kind", KINDS)
def test_the_compiled_network_has_the_same_bytes(kind):
    """Every layer reads the bytes of the compiled network, so that differences do not add up: one step at most."""
    net, x = rounding(kind)
    logits, real = compiled(net, x)
    apart, held = {}, getattr(net, RANGES)

    def compare(layer):
        def hook(module, args, output):
            found = torch.from_numpy(real[layer])
            apart[layer] = ((output - found).abs() / module.step()[0]).round()
            return found

        return hook

    with torch.no_grad():
        free = net(x).numpy()
        for layer, roles in held.roles.items():
            held.ranges[roles["y"]].register_forward_hook(compare(layer))
        same = net(x).numpy()
        as_float32(net)
        rounding_costs = np.linalg.norm(net(x).numpy() - free)
    assert set(apart) == set(real)
    for layer, steps in apart.items():
        assert steps.max() <= 1 and (steps > 0).float().mean() < 0.01, (layer, steps.max(), (steps > 0).float().mean())
    np.testing.assert_allclose(same, logits, rtol=1e-3, atol=1e-3 * np.abs(logits).max())
    assert np.linalg.norm(free - logits) < rounding_costs / 2


def test_rounding_leaves_the_network_as_it_was_and_survives_a_copy():
    net, x = rounding("shortcuts")
    again = copy.deepcopy(net)
    with torch.no_grad():
        assert torch.equal(again(x), net(x))
        before = set(net.state_dict())
        as_float32(again)
        assert not any(name.startswith(RANGES) for name in again.state_dict()) and len(before) > len(again.state_dict())
        assert all(item.rounding is None for item in again.modules() if isinstance(item, GatedLayer))
        assert not torch.equal(again(x), net(x))
    assert again.layer1[0].conv1 is not net.layer1[0].conv1


def test_a_network_without_gates_is_refused():
    with pytest.raises(ConfigError, match="no channel gates"):
        fake_quantise(models.build("resnet-20", 10, 0.25), torch.zeros(1, 3, 32, 32))
