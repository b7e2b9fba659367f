"""Where training rounds is where compiled layers read, add and write: tensors of PyTorch against those of ONNX."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import fx, nn

from sanp import models
from sanp.methods.registry import gate
from sanp.quantising.positions import byte_convs
from sanp.tracing.trace import trace
from sanp_export.exporter import export
from sanp_export.graph.model_file import metadata_of, to_graph, to_model
from sanp_export.graph.patterns import RESIDUAL, X, gated_convs, has_residual, layer_of
from sanp_export.passes.always_open import always_open
from sanp_runtime.contract import INPUT
from tests.support.torch_networks import MobileNetV2Style


class Named(nn.Module):
    """Activations that nothing takes in, in modules with the names of functions that are taken in."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(width, 8, 3, padding=1) for width in (3, 8, 8))
        self.relu, self.clamp, self.head = nn.LeakyReLU(0.1), nn.SiLU(), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.c(self.clamp(self.b(self.relu(self.a(x))))).mean((2, 3)))


NETS = {
    "names-of-functions": (Named, {}),
    "shortcuts": (lambda: models.build("resnet-20", 10, 0.25), {"layers": "layer1.0.conv1,layer2.0.conv2"}),
    "all-gated-shortcuts": (lambda: models.build("resnet-20", 10, 0.25), {}),
    "inverted": (MobileNetV2Style, {"layers": "inner"}),
}


def spread(net):
    """Batch norms that do something."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.7, 1.5)
            for values, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.3, 0.3)):
                if values is not None:
                    values.data.uniform_(low, high)
    return net


def tensors_of_pytorch(net, x):
    """(layer, role) -> value, as this network computes it."""
    traced, values = trace(net, x), {}

    class Kept(fx.Interpreter):
        def run_node(self, node):
            value = super().run_node(node)
            values[node] = value.clone() if isinstance(value, torch.Tensor) else value  # before somebody adds in place
            return value

    with torch.no_grad():
        Kept(traced).run(x)
    found = {}
    for conv in byte_convs(traced):
        found[conv.name, "x"], found[conv.name, "y"] = values[conv.x], values[conv.written]
        if conv.residual is not None:
            found[conv.name, "residual"] = values[conv.residual]
    return {key: value.numpy() for key, value in found.items()}


def tensors_of_onnx(net, x):
    """The same of the exported graph."""
    model = export(net, x)
    graph = to_graph(model)
    always_open(graph)
    wanted = {}
    for conv in gated_convs(graph):
        wanted[layer_of(conv), "x"], wanted[layer_of(conv), "y"] = conv.inputs[X], conv.outputs[0]
        if has_residual(conv):
            wanted[layer_of(conv), "residual"] = conv.inputs[RESIDUAL]
    names = sorted({tensor.name for tensor in wanted.values()} - {INPUT})
    tensors = graph.tensors()
    graph.outputs += [tensors[name] for name in names]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    content = to_model(graph, metadata_of(model)).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    values = dict(zip(names, session.run(names, {INPUT: x.numpy()}))) | {INPUT: x.numpy()}
    return {key: values[tensor.name] for key, tensor in wanted.items()}


@pytest.mark.parametrize("kind", NETS)
def test_the_same_tensors(kind):
    torch.manual_seed(0)
    make, options = NETS[kind]
    x = torch.randn(2, 3, 32, 32)
    net = spread(gate(make(), x, **options)).eval()
    expected, found = tensors_of_onnx(net, x), tensors_of_pytorch(net, x)
    # Grouped convolutions without a gate are no candidates, neither here nor in `always_open`.
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert value.shape == found[key].shape, key
        assert np.abs(value - found[key]).max() <= 1e-3 * max(1.0, np.abs(value).max()), key
