"""Feature maps added, subtracted and scaled by hand, under every gate policy, with masks of one row and of many."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from sanp.gating import gated_layers
from sanp.methods.gated import GatedMethod
from sanp.methods.registry import METHODS, find, gate
from sanp_export.exporter import export
from sanp_export.graph.model_file import to_graph, to_model
from sanp_export.open_size import ExportOptions
from sanp_export.passes.drop_learned_gates import drop_learned_gates

IMAGE = torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(1))


class Arithmetic(nn.Module):
    """Sums, differences, scales and concatenations, each read by a gated layer."""

    def __init__(self):
        super().__init__()
        widths = {"a": 3, "b": 8, "c": 8, "d": 8, "e": 16, "f": 24}
        self.convs = nn.ModuleDict({name: nn.Conv2d(width, 8, 3, padding=1) for name, width in widths.items()})
        self.norms = nn.ModuleDict({name: nn.BatchNorm2d(8) for name in widths})
        self.head = nn.Linear(8, 4)

    def layer(self, name, x):
        return self.norms[name](self.convs[name](x))

    def forward(self, x):
        a = self.layer("a", x).relu()
        b = self.layer("b", a * 2)
        c = self.layer("c", (a + b) / 2).relu()
        d = self.layer("d", a - 0.5 * c)
        e = self.layer("e", torch.cat([a - b, c + d], 1)).relu()
        f = self.layer("f", torch.cat([2 * e, d + e * 0.25, x.mean(1, keepdim=True).expand(-1, 8, -1, -1)], 1))
        return self.head((f + e - a).mean((2, 3)))


# Random and oracle gates have no exported form; methods that are no GatedMethod decide for no channel.
EXPORTED = sorted(name for name in set(METHODS) - {"random", "oracle"} if issubclass(find(name), GatedMethod))
GATES = [(method, gates) for method in EXPORTED for gates in ("learned", "mask")]


@pytest.mark.parametrize("macs", [False, True])
@pytest.mark.parametrize(("method", "gates"), GATES)
def test_every_policy_runs_with_arithmetic_by_hand(method, gates, macs):
    torch.manual_seed(0)
    network = gate(Arithmetic().eval(), IMAGE, method).eval()
    model = export(network, IMAGE, ExportOptions(gates=gates, macs_output=macs))
    session = ort.InferenceSession(model.SerializeToString())
    for rows in (1, 3) if gates == "learned" else ():
        with torch.no_grad():
            expected = network(IMAGE[:rows]).numpy()
        found = session.run(["logits"], {"input": IMAGE[:rows].numpy()})[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    check_masks(session, network)


def test_the_replay_variant_takes_masks_of_any_rows():
    network = gate(Arithmetic().eval(), IMAGE).eval()
    graph = to_graph(export(network, IMAGE))
    drop_learned_gates(graph)
    check_masks(ort.InferenceSession(to_model(graph, {}).SerializeToString()), network)


def check_masks(session, network):
    """Any mixture of masks of one row and of one row for each sample runs, and a repeated row changes nothing."""
    names = list(gated_layers(network))
    generator = np.random.default_rng(0)
    masks = {f"mask.{name}": (generator.random((1, 8)) < 0.6).astype(np.float32) for name in names}
    outputs = [output.name for output in session.get_outputs()]
    single = session.run(outputs, {"input": IMAGE.numpy(), **masks})
    assert all(len(value) in (1, 3) for value in single)
    for chosen in (names, names[::2], names[1::2]):
        repeated = {f"mask.{name}": np.repeat(masks[f"mask.{name}"], 3, 0) for name in chosen}
        many = session.run(outputs, {"input": IMAGE.numpy(), **masks, **repeated})
        for name, left, right in zip(outputs, single, many):
            np.testing.assert_allclose(np.broadcast_to(left, right.shape), right, rtol=1e-5, atol=1e-6, err_msg=name)
