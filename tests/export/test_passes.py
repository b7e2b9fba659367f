"""Each pass on its own: what it must not touch, and that a second run changes nothing."""

import numpy as np
import onnx_graphsurgeon as gs
import onnxruntime as ort
import pytest
import torch
from torch import nn

from sanp_export.exporter import export
from sanp_export.graph.model_file import to_graph
from sanp_export.graph.trace_support import SupportTrace
from sanp_export.passes.connect_active import connect_active
from sanp_export.passes.drop_learned_gates import drop_learned_gates
from sanp_export.passes.drop_magnitudes import drop_magnitudes
from sanp_export.passes.fuse_activations import fuse_activations
from sanp_export.passes.fuse_residuals import fuse_residuals
from sanp_export.passes.name_layers import name_layers
from sanp_runtime.network.support import AnyOf, Concat, Dense, Gate
from tests.support import exported_nets as nets

IMAGE = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kind", list(nets.NETS))
def test_exported_graphs_are_fixed_points(kind):
    graph = to_graph(export(nets.make(kind), IMAGE))
    for rewrite in (name_layers, fuse_residuals, fuse_activations, drop_magnitudes):
        assert rewrite(graph) == 0, rewrite.__name__


def test_drop_learned_gates_twice_changes_nothing():
    graph = to_graph(export(nets.make("static"), IMAGE))
    assert drop_learned_gates(graph) > 0
    assert drop_learned_gates(graph) == 0


@pytest.mark.parametrize(
    ("name", "reads", "dropped"),
    [
        ("relu", lambda x: x.relu(), True),
        ("pooled", lambda x: nn.functional.max_pool2d(x.relu(), 2), True),
        ("sum", lambda x: x.relu() + x.sigmoid(), True),
        ("clamp from 0", lambda x: x.clamp(0, 6), True),
        ("clamp from -1", lambda x: x.clamp(-1, 6), False),
        ("leaky", nn.functional.leaky_relu, False),
        ("negative part", lambda x: x.relu() - 1, False),
        ("one operand", lambda x: torch.cat([x.relu(), x], 1)[:, :8] * 1.0, False),
        ("itself", lambda x: x, False),
    ],
)
def test_magnitudes_are_dropped_only_where_nothing_is_negative(name, reads, dropped):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nets.HandGated(3, 8, boosted=True), nets.HandGated(8, 8, boosted=True)

        def forward(self, x):
            return self.b(reads(self.a(x))).mean((2, 3))

    torch.manual_seed(3)
    net = Net().eval()
    model = export(net, IMAGE)
    with torch.no_grad():
        expected = net(IMAGE).numpy()
    got = ort.InferenceSession(model.SerializeToString()).run(["logits"], {"input": IMAGE.numpy()})[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert sum(node.op_type == "Abs" for node in model.graph.node) == (1 if dropped else 2), name


class Tricky(nn.Module):
    """Fusions that would be wrong: a second reader, a broadcast addition, an activation before the addition."""

    def __init__(self):
        super().__init__()
        self.a = nets.HandGated(3, 8)
        self.b = nets.HandGated(8, 8)
        self.c = nets.HandGated(8, 8)
        self.d = nets.HandGated(8, 8)
        self.bias = nn.Parameter(torch.randn(1, 8, 1, 1))

    def forward(self, x):
        a = self.a(x)
        b = self.b(a.relu()) + self.bias
        c = self.c(b).relu() + a
        d = self.d(c) * 2 + c.sigmoid()
        return torch.cat([d, d.relu() - 1, a], 1).mean((2, 3))


def test_unsafe_fusions_are_left_alone():
    torch.manual_seed(3)
    net = Tricky().eval()
    model = export(net, IMAGE)
    with torch.no_grad():
        expected = net(IMAGE).numpy()
    actual = ort.InferenceSession(model.SerializeToString()).run(["logits"], {"input": IMAGE.numpy()})[0]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_supports_of_tricky_tensors_are_supersets():
    torch.manual_seed(3)
    graph = to_graph(export(Tricky().eval(), IMAGE))
    trace = SupportTrace()
    found = {node.name: trace.of(node.inputs[0]) for node in graph.nodes if node.op == "SanpGatedConv"}
    assert found["a/conv"] == Dense(3)
    assert found["b/conv"] == Gate("a")
    assert found["c/conv"] == Dense(8), "a broadcast bias makes every channel nonzero"
    assert found["d/conv"] == AnyOf((Gate("c"), Gate("a")))


def test_concatenation_keeps_both_supports():
    graph = to_graph(export(nets.make("concatenating"), IMAGE))
    trace = SupportTrace()
    found = {node.name: trace.of(node.inputs[0]) for node in graph.nodes if node.op == "SanpGatedConv"}
    assert found["b/conv"] == Concat((Gate("a"), Dense(4)))
    assert found["depthwise/conv"] == Concat((Gate("a"), Dense(4), Gate("b")))


def test_clip_that_lifts_zero_makes_the_output_dense():
    class Lifted(nets.Plain):
        def forward(self, x):
            return self.b(self.a(x).clamp(0.5, 3.0)).mean((2, 3))

    graph = to_graph(export(Lifted().eval(), IMAGE))
    conv = next(node for node in graph.nodes if node.name == "b/conv")
    assert isinstance(SupportTrace().of(conv.inputs[0]), Dense)
    assert isinstance(conv.inputs[4], gs.Constant)


def test_connect_active_reaches_every_layer_after_the_first():
    graph = to_graph(export(nets.make("residual"), IMAGE))
    assert connect_active(graph) == 5
