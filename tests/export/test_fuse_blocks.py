"""Inverted residual blocks as one node: the function body, what is found, and that every variant computes the same."""

import itertools

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional as F

from sanp_export.exporter import export
from sanp_export.functions import DOMAIN_VERSION, OPSET, gated_conv_function, inverted_residual_function
from sanp_export.graph.model_file import metadata_of, to_graph, to_model
from sanp_export.passes.fuse_blocks import fusable_blocks, fuse_blocks
from sanp_export.variants import variants
from sanp_runtime.contract import DOMAIN, INVERTED_RESIDUAL, block_node
from tests.support.exported_nets import IMAGE, HandFollower, HandGated

INPUTS = ("x", "w_expand", "scale", "shift", "in_active", "w_depthwise", "bias", "w_project", "scale_project",
          "shift_project", "residual")  # fmt: skip


def session(content):
    options = ort.SessionOptions()
    options.log_severity_level = 3  # masks are inputs with defaults, which ONNX Runtime warns of
    return ort.InferenceSession(content, options)


def run_nodes(nodes, feeds, functions):
    """The last output of nodes whose operators have these bodies."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in feeds.items()]
    outputs = [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)]
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
    graph = helper.make_graph(nodes, "nodes", inputs, outputs)
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9)
    return session(model.SerializeToString()).run(None, feeds)[0]


def random_block(seed):
    """Inputs and attributes of one node; seeds take turns in kernels, strides, residuals, clamps and rows of gates."""
    rng = np.random.default_rng(seed)
    c_in, wide, c_out = (int(v) for v in rng.integers(1, 9, 3))
    kernel, stride = (3, 5)[seed % 2], 1 + seed // 2 % 2
    n, size = int(rng.integers(1, 4)), rng.integers(kernel, 11, 2)
    rows = n if seed // 4 % 2 else 1
    if seed % 5 == 4:
        c_out, stride = c_in, 1
    pads = [kernel // 2] * 4 if seed % 3 else [0, 1, kernel // 2, 2]
    spans = [(int(size[i]) + pads[i] + pads[i + 2] - kernel) // stride + 1 for i in range(2)]
    scale = (rng.random((rows, wide)) * (rng.random((rows, wide)) > 0.4)).astype("f")
    scale_project = rng.random((1, c_out)).astype("f") if seed % 3 else np.ones((1, c_out), "f")
    feeds = dict(zip(INPUTS, (
        rng.standard_normal((n, c_in, *size)), rng.standard_normal((wide, c_in, 1, 1)), scale,
        scale * rng.standard_normal(wide), np.ones((1, c_in)), rng.standard_normal((wide, 1, kernel, kernel)),
        rng.standard_normal(wide), rng.standard_normal((c_out, wide, 1, 1)), scale_project,
        scale_project * rng.standard_normal(c_out), np.zeros(1),
    )))  # fmt: skip
    if seed % 2:
        feeds["residual"] = rng.standard_normal((n, c_out, *spans))
    clamps = [(0.0, 6.0), (0.0, np.inf), (-np.inf, np.inf), (-1.0, 1.0)]
    geometry = {"strides": [stride] * 2, "pads": pads, "dilations": [1, 1], "group": wide}
    limits = {}
    for index, name in enumerate(("expand", "depthwise", "act")):
        limits[f"{name}_min"], limits[f"{name}_max"] = clamps[(seed + index) % 4]
    return {name: np.asarray(value, "f") for name, value in feeds.items()}, geometry, limits


def three_nodes(geometry, limits):
    """The same from three gated convolutions and the decision of the depthwise one."""
    point = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}

    def conv(inputs, output, shape, clamp):
        ends = {f"act_{end}": limits[f"{clamp}_{end}"] for end in ("min", "max")}
        return helper.make_node("SanpGatedConv", inputs, [output], domain=DOMAIN, **shape, **ends)

    return [
        helper.make_node("Constant", [], ["none"], value_floats=[0.0]),
        conv(["x", "w_expand", "scale", "shift", "in_active", "none"], "e", point, "expand"),
        helper.make_node("Sign", ["scale"], ["open"]),
        helper.make_node("Mul", ["open", "bias"], ["open_bias"]),
        conv(["e", "w_depthwise", "open", "open_bias", "scale", "none"], "d", geometry, "depthwise"),
        conv(["d", "w_project", "scale_project", "shift_project", "scale", "residual"], "y", point, "act"),
    ]


def in_float64(feeds, geometry, limits):
    f = {name: torch.from_numpy(value).double() for name, value in feeds.items()}
    scale, shift, scale_project, shift_project = (
        f[name][:, :, None, None] for name in ("scale", "shift", "scale_project", "shift_project")
    )
    top, left, bottom, right = geometry["pads"]
    expanded = (scale * F.conv2d(f["x"], f["w_expand"]) + shift).clamp(limits["expand_min"], limits["expand_max"])
    padded = F.pad(expanded, (left, right, top, bottom))
    filtered = F.conv2d(padded, f["w_depthwise"], f["bias"], geometry["strides"], groups=geometry["group"])
    filtered = ((scale > 0) * filtered).clamp(limits["depthwise_min"], limits["depthwise_max"])
    y = scale_project * F.conv2d(filtered, f["w_project"]) + shift_project + f["residual"]
    return y.clamp(limits["act_min"], limits["act_max"]).numpy()


@pytest.mark.parametrize("seed", range(20))
def test_the_body_is_that_of_three_gated_convolutions(seed):
    feeds, geometry, limits = random_block(seed)
    node = helper.make_node(INVERTED_RESIDUAL, list(INPUTS), ["y"], domain=DOMAIN, **geometry, **limits)
    found = run_nodes([node], feeds, [inverted_residual_function()])
    apart = run_nodes(three_nodes(geometry, limits), feeds, [gated_conv_function()])
    expected = in_float64(feeds, geometry, limits)
    tolerance = 1e-5 * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=tolerance)
    np.testing.assert_allclose(found, apart, rtol=1e-6, atol=tolerance / 10)


def test_the_body_has_only_standard_operators():
    for node in inverted_residual_function().node:
        assert node.domain == ""
        onnx.defs.get_schema(node.op_type, OPSET)


class Inverted(nn.Module):
    """A block of each kind. between: what stands behind the expansion; project: a gated layer or a plain one."""

    def __init__(self, c_in, c_out, project, kernel=3, stride=1, between=F.relu6, behind=F.relu6, **gate):
        super().__init__()
        wide = 3 * c_in
        self.expand = HandGated(c_in, wide, kernel=1, **gate)
        self.depthwise = HandFollower([self.expand], kernel, stride)
        self.project = project(wide, c_out)
        self.between, self.behind, self.added = between, behind, stride == 1 and c_in == c_out

    def forward(self, x):
        y = self.project(self.behind(self.depthwise(self.between(self.expand(x)))))
        return x + y if self.added else y


def plain(wide, c_out):
    return nn.Sequential(nn.Conv2d(wide, c_out, 1, bias=False), nn.BatchNorm2d(c_out))


def static(wide, c_out):
    return HandGated(wide, c_out, kernel=1, static=torch.tensor([0.7, 0.0, 1.3, 1.0] * c_out)[:c_out])


def learned(wide, c_out):
    return HandGated(wide, c_out, kernel=1)


class Halved(nn.Module):
    """Squeeze and excite, without a hidden layer."""

    def forward(self, x):
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class Blocks(nn.Module):
    FUSED = ("added", "wide", "static", "open", "halved")

    def __init__(self):
        super().__init__()
        self.stem = HandGated(3, 6, kernel=3, stride=2)
        self.added = Inverted(6, 6, plain)  # zero stays zero, and a shortcut
        self.wide = Inverted(6, 8, plain, kernel=5, stride=2, behind=F.relu)
        self.static = Inverted(8, 8, static, behind=lambda x: x)
        self.open = Inverted(8, 8, static, static=torch.tensor([1.0, 0.0, 0.5] * 8))
        self.halved = Inverted(8, 7, plain)
        self.learned = Inverted(7, 8, learned)  # its gate reads the whole map of the depthwise layer
        self.hard = Inverted(8, 8, plain, between=F.hardswish)
        self.squeezed = Inverted(8, 8, plain, behind=Halved())
        self.raised = Inverted(8, 8, plain, behind=lambda x: x.clamp(0.5, 6.0))  # closed channels are not zero
        self.read = Inverted(8, 8, plain)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.halved(self.open(self.static(self.wide(self.added(self.stem(x).relu())))).relu()).relu()
        x = self.raised(self.squeezed(self.hard(self.learned(x))))
        kept = F.relu6(self.read.depthwise(F.relu6(self.read.expand(x))))  # has two readers
        return self.head(torch.cat([self.read.project(kept), kept[:, :8]], 1).mean((2, 3)))


@pytest.fixture(scope="module")
def blocks():
    torch.manual_seed(1)
    net = Blocks().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -0.3, 0.5)
    return net, variants(export(net, IMAGE))


def fused(model, nodes=None):
    graph = to_graph(model)
    changes = fuse_blocks(graph, nodes)
    assert fuse_blocks(graph, nodes) == 0
    return to_model(graph, metadata_of(model)), changes


def test_blocks_are_found_and_nothing_else(blocks):
    """Not: a learned gate of the projection, hard swish, squeeze and excite, a clamp above zero, a second reader."""
    _, models = blocks
    found = fusable_blocks(to_graph(models["gated"]))
    expected = {}
    for name in Blocks.FUSED:
        last = f"{name}.project" if name in ("static", "open") else f"{name}.project.0"
        expected[block_node(f"{name}.expand")] = (f"{name}.expand", f"{name}.depthwise", last)
    assert found == expected
    model, changes = fused(models["gated"])
    assert changes == len(expected)
    nodes = {node.name: node.op_type for node in model.graph.node}
    assert {name for name, op in nodes.items() if op == INVERTED_RESIDUAL} == set(expected)
    assert not [name for name in nodes for layer in itertools.chain(*expected.values()) if name == f"{layer}/conv"]
    assert [item.name for item in model.functions].count(INVERTED_RESIDUAL) == 1
    onnx.checker.check_model(model)


@pytest.mark.parametrize("variant", ["gated", "open", "replay"])
def test_variants_keep_inputs_outputs_and_values(blocks, variant):
    net, models = blocks
    nodes = fusable_blocks(to_graph(models["gated"]))
    before, (after, _) = models[variant], fused(models[variant], nodes)
    for side in ("input", "output"):
        assert {item.name for item in getattr(before.graph, side)} == {item.name for item in getattr(after.graph, side)}
    engines = [session(model.SerializeToString()) for model in (before, after)]
    rng = np.random.default_rng(3)
    masks = {item.name: item.shape[1] for item in engines[0].get_overridable_initializers()}
    for rows in (0, 1, len(IMAGE)):
        feeds = {name: (rng.random((rows, width)) > 0.4).astype("f") for name, width in masks.items() if rows}
        apart, together = (engine.run(None, {"input": IMAGE.numpy(), **feeds}) for engine in engines)
        for one, other in zip(apart, together):
            np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)
    if variant == "gated":
        with torch.no_grad():
            expected = net(IMAGE).numpy()
        logits = engines[1].run(["logits"], {"input": IMAGE.numpy()})[0]
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_only_the_nodes_asked_for(blocks):
    _, models = blocks
    graph = to_graph(models["gated"])
    assert fuse_blocks(graph, ["wide.expand/block", "learned.expand/block"]) == 1
