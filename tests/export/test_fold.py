"""Folding on the graph: the folded network against PyTorch and against the whole one with the same channels closed."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from sanp.gating import gated_layers
from sanp.methods.registry import gate
from sanp_export.exporter import export
from sanp_export.fold import as_parent, fold
from sanp_export.graph.model_file import layers_of, metadata_of
from sanp_export.open_size import ExportOptions
from sanp_runtime.network.macs import dense_macs, sample_macs
from tests.support import short_mobilenet

SIZE = 32
NETWORKS = ["m-cifarnet", "resnet-18", "vgg-16", "resnet-20-a", "imagenet-mobilenet-v2"]


def network(name, method, seed=0, width=0.25, gates=0.3, **options):
    """Gates that close about half of the channels for good and decide the others per sample."""
    torch.manual_seed(seed)
    model = gate(short_mobilenet.build(name, width=width), torch.zeros(1, 3, SIZE, SIZE), method, **options).eval()
    for layer in gated_layers(model).values():
        last = layer.gate.fc if method == "fbs" else layer.gate.net.fc2
        last.bias.data = torch.randn(last.bias.shape)
        nn.init.normal_(last.weight, 0, 0.05 if method == "fbs" else gates)
        layer.norm.running_mean.normal_(0, 0.1)
        layer.norm.running_var.uniform_(0.5, 1)
    return model


def answers(model, x):
    with torch.no_grad():
        logits = model(x).numpy()
    return logits, {name: layer.scale.numpy() for name, layer in gated_layers(model).items()}


def run(model, x):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options)
    return session.run(["logits"], {"input": x.numpy()})[0]


def close(found, expected, relative=1e-5):
    np.testing.assert_allclose(found, expected, rtol=0, atol=relative * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_static_network_folds_to_the_masked_one(name):
    model = network(name, "static")
    x = torch.randn(4, 3, SIZE, SIZE)
    expected, scales = answers(model, x)
    exported = export(model, x)
    folded = fold(exported, {})  # no samples: its gates do not depend on any
    close(run(folded.model, x), expected)
    closed = {layer: int((scale[0] == 0).sum()) for layer, scale in scales.items()}
    assert {layer: row.closed for layer, row in folded.layers.items()} == closed
    for layer, row in folded.layers.items():
        left = int((scales[layer][0, list(row.kept)] == 0).sum())  # closed channels that stay
        assert (row.gate == "stays") == (left > 0), row.reason
        assert row.gate == "stays" or all(value > 0 for value in row.scale)
    rows = layers_of(folded.model)
    masked = sample_macs(layers_of(exported), scales)[0]
    if name in ("m-cifarnet", "vgg-16"):
        assert not any(row.gated for row in rows) and metadata_of(folded.model)["sanp.gates"] == "none"
        assert dense_macs(rows) == masked, "removal costs what masks were counted to cost"
    else:
        left = {row.name: scales[row.name][:, list(folded.layers[row.name].kept)] for row in rows if row.gated}
        assert sample_macs(rows, left)[0] == masked


@pytest.mark.parametrize("method", ["sanp", "fixed-k", "fbs"])
@pytest.mark.parametrize("name", NETWORKS[:3])
def test_a_learned_network_keeps_its_answers_where_no_removed_channel_opens(name, method):
    model = network(name, method, **({} if method == "sanp" else {"density": 0.5}))
    x = torch.randn(12, 3, SIZE, SIZE)
    expected, scales = answers(model, x)
    folded = fold(export(model, x), scales, steady=None)
    close(run(folded.model, x), expected)
    assert sum(row.before - len(row.kept) for row in folded.layers.values()) > 10
    for layer, row in folded.layers.items():
        gone = np.setdiff1d(np.arange(row.before), row.kept)
        assert not scales[layer][:, gone].any() and row.gate == "stays"


@pytest.mark.parametrize("method", ["sanp", "fbs"])
@pytest.mark.parametrize(
    ("name", "multiple"), [("vgg-16", 1), ("vgg-16", 8), ("resnet-20-a", 1), ("imagenet-mobilenet-v2", 1)]
)
def test_other_samples_get_the_answers_of_the_closed_network(name, method, multiple):
    model = network(name, method, seed=1, gates=0.05, **({"density": 0.5} if method == "fbs" else {}))
    _, scales = answers(model, torch.randn(3, 3, SIZE, SIZE))
    folded = fold(export(model, torch.zeros(1, 3, SIZE, SIZE)), scales, multiple=multiple)
    assert folded.approximates or name != "vgg-16"
    x = 2 * torch.randn(16, 3, SIZE, SIZE)
    close(run(folded.model, x), run(folded.closed, x))
    widths = {layer: len(row.kept) for layer, row in folded.layers.items()}
    assert all(width % multiple == 0 or width == folded.layers[layer].before for layer, width in widths.items())
    if multiple > 1 and name == "vgg-16":
        assert any("for the multiple" in row.reason for row in folded.layers.values())


def test_an_always_open_gate_that_scales_by_what_it_sees_stays():
    model = network("m-cifarnet", "sanp", gates=0.3)
    for layer in gated_layers(model).values():
        layer.gate.net.fc2.bias.data.abs_().add_(3)
        layer.gate.net.fc2.weight.data.abs_()
    x = torch.randn(8, 3, SIZE, SIZE)
    _, scales = answers(model, x)
    rows = fold(export(model, x), scales).layers.values()
    assert all(len(row.kept) == row.before == row.open for row in rows)
    varying = [row for row in rows if row.gate == "stays"]
    assert varying and all("its scale varies by" in row.reason for row in varying)


def test_a_learned_gate_without_weights_is_constant_and_needs_no_samples():
    model = network("m-cifarnet", "sanp")
    for layer in gated_layers(model).values():
        nn.init.zeros_(layer.gate.net.fc2.weight)
    x = torch.randn(4, 3, SIZE, SIZE)
    expected, _ = answers(model, x)
    folded = fold(export(model, x), {})
    assert {row.gate for row in folded.layers.values()} == {"dropped"} and not folded.approximates
    close(run(folded.model, x), expected)


def test_a_network_without_samples_is_left_as_it_is():
    model = network("m-cifarnet", "sanp")
    exported = export(model, torch.zeros(1, 3, SIZE, SIZE))
    folded = fold(exported, {})
    assert layers_of(folded.model) == layers_of(exported)


def test_the_order_of_layers_the_parent_and_the_output_of_macs():
    model = network("resnet-18", "static")
    exported = export(model, torch.zeros(1, 3, SIZE, SIZE), ExportOptions(macs_output=True))
    folded, parent = fold(exported, {}), as_parent(exported)
    names = [row.name for row in layers_of(exported)]
    assert [row.name for row in layers_of(folded.model)] == names == [row.name for row in layers_of(parent)]
    assert dense_macs(layers_of(parent)) == dense_macs(layers_of(exported))
    assert not any(row.gated for row in layers_of(parent))
    x = torch.randn(2, 3, SIZE, SIZE)
    close(run(folded.model, x), answers(model, x)[0])


class Branches(nn.Module):
    """What can stand in the way: a concatenation, groups, a value for each channel, an activation that moves zero."""

    def __init__(self):
        super().__init__()
        for name, c_in, c_out, groups in (("a", 3, 12, 1), ("b", 3, 12, 1), ("c", 24, 12, 1), ("d", 12, 12, 3),
                                          ("e", 12, 12, 1), ("f", 12, 12, 1), ("g", 12, 12, 1)):  # fmt: skip
            setattr(self, name, nn.Conv2d(c_in, c_out, 3, padding=1, groups=groups, bias=False))
            setattr(self, f"{name}_norm", nn.BatchNorm2d(c_out))
        self.slope = nn.PReLU(12)
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        both = torch.cat([torch.relu(self.a_norm(self.a(x))), torch.relu(self.b_norm(self.b(x)))], 1)
        c = torch.relu(self.c_norm(self.c(both)))
        d = self.slope(self.d_norm(self.d(c)))
        e = torch.nn.functional.hardsigmoid(self.e_norm(self.e(d)))  # 0.5 in closed channels
        f = torch.relu(self.f_norm(self.f(e)))
        return self.head(torch.relu(self.g_norm(self.g(f))).mean((2, 3)))


def test_what_cannot_follow_stays_with_the_reason():
    torch.manual_seed(0)
    model = gate(Branches(), torch.zeros(1, 3, SIZE, SIZE), "static").eval()
    for layer in gated_layers(model).values():
        layer.gate.net.fc2.bias.data = torch.randn(layer.gate.net.fc2.bias.shape)
    x = torch.randn(4, 3, SIZE, SIZE)
    folded = fold(export(model, x), {})
    close(run(folded.model, x), answers(model, x)[0])
    rows = folded.layers
    assert "Concat" in rows["a"].reason and "Concat" in rows["b"].reason
    assert "groups" in rows["c"].reason
    assert all(len(rows[name].kept) == 12 for name in "abcde")
    assert all(len(rows[name].kept) < 12 and rows[name].gate == "dropped" for name in "fg")
