"""Plain networks with our operators: the same numbers with and without the library; a second run finds nothing."""

from collections import Counter

import numpy as np
import onnx_graphsurgeon as gs
import pytest
import torch
from torch import nn

from sanp_export.exporter import export
from sanp_export.graph.model_file import metadata_of, to_graph, to_model
from sanp_export.passes.always_open import always_open
from sanp_runtime.contract import GATED_CONV
from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_runtime.engines.onnxruntime.session import open_session
from tests.support import short_mobilenet


class Mixed(nn.Module):
    """A shared convolution, one with groups, one of one dimension, a sum of two convolutions, a bounded activation."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.shared = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.line = nn.Conv1d(8, 5, 1)

    def forward(self, x):
        x = self.stem(x).clamp(0, 1)
        x = self.shared(self.shared(x).relu())
        x = (self.wide(x) + self.grouped(x)).relu()
        return self.line(x.flatten(2)).mean(2)


def _rewritten(model, image):
    """(exported, with our operators, changes)."""
    exported = export(model.eval(), image)
    graph = to_graph(exported)
    changes = always_open(graph)
    return exported, to_model(graph, metadata_of(exported)), changes


def _run(proto, x, path, library=None):
    path.write_bytes(proto.SerializeToString())
    return open_session(path, 1, library).run(None, {"input": x})[0]


@pytest.mark.parametrize("name", ["m-cifarnet", "vgg-16", "resnet-18", "resnet-20-a", "imagenet-mobilenet-v2", "mixed"])
def test_the_numbers_stay(name, tmp_path):
    torch.manual_seed(0)
    network = Mixed() if name == "mixed" else short_mobilenet.build(name, 10, 0.125)
    exported, ours, changes = _rewritten(network, torch.zeros(1, 3, 32, 32))
    assert changes > 0 and always_open(to_graph(ours)) == 0
    x = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    expected = _run(exported, x, tmp_path / "standard.onnx")
    for library in (None, find_library()):
        found = _run(ours, x, tmp_path / "ours.onnx", library)
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max(), rtol=2e-5)


def test_what_is_taken_and_what_stays():
    torch.manual_seed(0)
    _, ours, _ = _rewritten(Mixed(), torch.zeros(1, 3, 16, 16))
    graph = to_graph(ours)
    assert {node.name for node in graph.nodes if node.op == GATED_CONV} == {
        "stem/conv",
        "shared/conv",
        "shared.call2/conv",
        "wide/conv",
    }
    ops = Counter(node.op for node in graph.nodes)
    assert ops["Conv"] == 2 and not ops["Add"] and not ops["Relu"] and not ops["Clip"]
    bounds = {
        node.name: (node.attrs["act_min"], node.attrs["act_max"]) for node in graph.nodes if node.op == GATED_CONV
    }
    assert bounds["stem/conv"] == (0.0, 1.0) and bounds["wide/conv"] == (0.0, float("inf"))
    assert bounds["shared.call2/conv"] == (-float("inf"), float("inf"))
    assert [function.name for function in ours.functions] == [GATED_CONV]


def test_padding_that_follows_the_image_and_computed_weights_stay():
    x = gs.Variable("input", np.float32, ["N", 3, 8, 8])
    weight = gs.Constant("conv.weight", np.ones((4, 3, 3, 3), np.float32))
    computed = gs.Variable("computed", np.float32, [4, 3, 3, 3])
    padded, free = (gs.Variable(name, np.float32, ["N", 4, 8, 8]) for name in ("padded", "free"))
    nodes = [
        gs.Node("Conv", "padded", {"auto_pad": "SAME_UPPER"}, [x, weight], [padded]),
        gs.Node("Abs", "abs", {}, [weight], [computed]),
        gs.Node("Conv", "free", {"pads": [1, 1, 1, 1]}, [x, computed], [free]),
    ]
    assert always_open(gs.Graph(nodes, inputs=[x], outputs=[padded, free])) == 0
