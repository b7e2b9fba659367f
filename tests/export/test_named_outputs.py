"""Networks that return any structure of tensors: names and shapes in the file, and what is refused with a sentence."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from sanp_export.exporter import export
from sanp_export.graph.model_file import outputs_of
from sanp_export.named_outputs import check_outputs, named_outputs
from sanp_runtime.network.outputs import Output
from sanp_targets.errors import ExportError
from tests.support import exported_nets as nets

Pair = namedtuple("Pair", ["boxes", "scores"])


@dataclass
class Found:
    boxes: Tensor
    scores: Tensor
    nothing: None = None


class Returning(nn.Module):
    """A gated layer whose map is returned in some structure."""

    def __init__(self, structure):
        super().__init__()
        self.layer, self.structure = nets.HandGated(3, 8), structure

    def forward(self, x):
        y = self.layer(x).relu()
        return self.structure(x, y)


STRUCTURES = {
    "map": (lambda x, y: y, ["output"]),
    "matrix": (lambda x, y: y.mean((2, 3)), ["logits"]),
    "dictionary": (lambda x, y: {"boxes": y, "scores": y.mean((2, 3))}, ["boxes", "scores"]),
    "tuple": (lambda x, y: (y, y.mean((2, 3)), y.mean((1, 2, 3))), ["output0", "output1", "output2"]),
    "named tuple": (lambda x, y: Pair(y, y.mean((2, 3))), ["boxes", "scores"]),
    "data class": (lambda x, y: Found(y, y.mean((2, 3))), ["boxes", "scores"]),
    "nested": (lambda x, y: {"maps": [y, -y], "head": Pair(y + 1, None)}, ["maps.0", "maps.1", "head.boxes"]),
    "one twice": (lambda x, y: {"a": y, "b": y}, ["a", "b"]),
    "the input": (lambda x, y: (y, x), ["output0", "output1"]),
    "five axes": (lambda x, y: y.reshape(x.shape[0], 2, 2, 2, -1), ["output"]),
    # Names that torch's exporter gives to tensors of its own.
    "names in use": (lambda x, y: {"relu": -y, "neg": y.relu(), "mean": y.mean(1)}, ["relu", "neg", "mean"]),
}


@pytest.mark.parametrize("kind", STRUCTURES)
def test_outputs_keep_their_names_and_values(kind):
    structure, names = STRUCTURES[kind]
    torch.manual_seed(0)
    network = Returning(structure).eval()
    model = export(network, nets.IMAGE[:1])
    with torch.no_grad():
        expected = named_outputs(network(nets.IMAGE))
    assert list(expected) == names
    assert outputs_of(model) == tuple(Output(name, tuple(value.shape[1:])) for name, value in expected.items())
    assert [value.name for value in model.graph.output] == [*names, "gate.layer"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = dict(zip(names, session.run(names, {"input": nets.IMAGE.numpy()})))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (lambda x, y: {"class": y.argmax(1)}, "output class of Returning is int64, expected float32"),
        (lambda x, y: {"loss": y.mean()}, r"output loss .* has shape \(\) for 5 samples"),
        (lambda x, y: {"anchors": torch.ones(4, 4), "y": y}, r"output anchors .* shape \(4, 4\)"),
        (lambda x, y: {"rows": y.flatten(0, 1)}, r"output rows .* a row for each sample"),
        (lambda x, y: {"similar": y.mean((2, 3)) @ y.mean((2, 3)).T}, "depend on the number of samples"),
        (lambda x, y: {"y": y, "count": 3}, "output count of the network is a int"),
        (lambda x, y: {"gate.y": y}, "'gate.y', which is taken"),
        (lambda x, y: {"macs": y}, "'macs', which is taken"),
        (lambda x, y: {"a.b": y, "a": {"b": y}}, "which two outputs have"),
        (lambda x, y: {}, "without a tensor"),
        (lambda x, y: "text", "is a str, expected tensors"),
    ],
)
def test_what_is_no_output_is_named(structure, message):
    with pytest.raises(ExportError, match=message):
        export(Returning(structure).eval(), nets.IMAGE)


def test_shapes_are_of_a_sample():
    found = {"a": torch.zeros(2, 3, 4), "b": torch.zeros(2)}
    assert check_outputs(found, 2, "it") == (Output("a", (3, 4)), Output("b", ()))
