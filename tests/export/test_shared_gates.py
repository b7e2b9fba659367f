"""Shared decisions in the exported graph: one 0/1 per decision, masks of leaders alone, pads folded into followers."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from sanp.methods.registry import gate
from sanp_export.exporter import export
from sanp_export.graph.model_file import layers_of, to_graph
from sanp_export.graph.patterns import RESIDUAL, SCALE, gated_convs
from sanp_export.open_size import ExportOptions
from sanp_export.passes.fuse_pads import fuse_pads
from sanp_export.passes.share_gates import share_gates
from sanp_export.variants import variants
from sanp_runtime.network.support import Concat, Dense, Gate
from tests.support.exported_nets import IMAGE, Sharing


def exported(**options):
    torch.manual_seed(0)
    return export(Sharing().eval(), IMAGE, ExportOptions(**options))


def test_followers_share_one_node_and_have_no_mask():
    model = exported()
    rows = {row.name: row for row in layers_of(model)}
    assert rows["first"].follows == rows["second"].follows == Gate("expand")
    assert rows["beside"].follows == Concat((Gate("project"), Dense(4)))
    assert rows["project"].support == Gate("expand") and rows["last"].support == rows["beside"].follows
    leaders = {"stem", "expand", "project", "last"}
    assert {value.name for value in model.graph.input} == {"input", *(f"mask.{name}" for name in leaders)}
    assert {value.name for value in model.graph.output} == {"logits", *(f"gate.{name}" for name in leaders)}
    graph = to_graph(model)
    convs = {conv.name: conv for conv in gated_convs(graph)}
    assert convs["first/conv"].inputs[SCALE] is convs["second/conv"].inputs[SCALE]
    assert sum(node.op == "Sign" for node in graph.nodes) == 2
    assert convs["first/conv"].inputs[RESIDUAL] is not None
    assert share_gates(graph) == fuse_pads(graph) == 0


def test_every_variant_keeps_the_decision():
    """Replay with a mask closes what follows; open equals dense; both in plain ONNX Runtime."""
    made = variants(exported())
    runs = {name: ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
            for name, model in made.items()}  # fmt: skip
    x = IMAGE.numpy()
    dense, opened = (runs[name].run(["logits"], {"input": x})[0] for name in ("dense", "open"))
    np.testing.assert_allclose(opened, dense, rtol=1e-4, atol=1e-5)
    net = Sharing().eval()
    scale = {}
    torch.manual_seed(0)
    net = Sharing().eval()
    with torch.no_grad():
        expected = net(IMAGE).numpy()
    for name in ("stem", "expand", "project", "last"):
        scale[f"mask.{name}"] = net.get_submodule(name).scale.detach().numpy()
    np.testing.assert_allclose(runs["replay"].run(["logits"], {"input": x, **scale})[0], expected, rtol=1e-4, atol=1e-5)
    assert not any(value.name == "mask.first" for value in made["replay"].graph.input)


class Padded(nn.Module):
    """As networks from TensorFlow pad: zeros in front of a convolution of stride 2, in a module of its own."""

    def __init__(self):
        super().__init__()
        self.pad1, self.conv1, self.norm1 = nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8)
        self.pad2 = nn.ZeroPad2d((1, 2, 1, 2))
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 5, 2, groups=8), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.relu(self.norm1(self.conv1(self.pad1(x))))
        return self.head(torch.relu(self.norm2(self.conv2(self.pad2(x)))).mean((2, 3)))


def test_padding_in_front_of_a_follower_is_folded():
    torch.manual_seed(0)
    net = gate(Padded(), IMAGE, standardise=False).eval()
    nn.init.normal_(net.conv1.gate.net.fc2.bias)
    assert net.gating.followers == {"conv2": ("conv1",)}
    model = export(net, IMAGE)
    convs = {conv.name: conv for conv in gated_convs(to_graph(model))}
    assert convs["conv2/conv"].attrs["pads"] == [1, 1, 2, 2]
    assert convs["conv1/conv"].attrs["pads"] == [0, 0, 0, 0], "its gate reads the padded map"
    assert sum(node.op_type == "Pad" for node in model.graph.node) == 1
    found = ort.InferenceSession(model.SerializeToString()).run(["logits"], {"input": IMAGE.numpy()})[0]
    with torch.no_grad():
        np.testing.assert_allclose(found, net(IMAGE).numpy(), rtol=1e-4, atol=1e-5)
