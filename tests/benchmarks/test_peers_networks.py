"""The networks of the peers benchmark are those of the product, and their masks and costs are what they claim."""

from functools import partial

import numpy as np
import onnx
import onnxruntime
import onnxruntime.quantization
import pytest
import torch
from onnx import helper, numpy_helper

import sanp
from benchmarks.networks.edge import EDGE_NETWORKS, MOBILENET_V2, inverted_residuals, regnet_x
from benchmarks.networks.masks import kept_fraction
from benchmarks.networks.mobilenet_v3 import mobilenet_v3_large
from benchmarks.networks.rounding import rounded
from benchmarks.networks.shapes import NETWORKS, OPERATING_POINTS
from benchmarks.networks.shufflenet_v2 import shufflenet_v2
from benchmarks.peers import networks
from benchmarks.peers.catalog import ENGINES, INT8_TOLERANCE
from benchmarks.peers.controlled import controlled, fused, with_functions
from benchmarks.peers.prepare import Plan, prepare, quantise
from benchmarks.peers.quantised import on_bytes
from benchmarks.peers.widths import narrowed, thinner
from benchmarks.sessions import session
from sanp import models

pytestmark = pytest.mark.slow

SMALL_IMAGES = {
    "mobilenet-v2-half": partial(inverted_residuals, MOBILENET_V2, 32, 0.5),
    "mobilenet-v3-large": partial(mobilenet_v3_large, 32),
    "shufflenet-v2": partial(shufflenet_v2, 32),
    "regnet-x": partial(regnet_x, 32),
}
PRODUCT = {"m-cifarnet": "m-cifarnet", "vgg19": "vgg-19", "resnet18": "resnet-18"}


def thin(name):
    return SMALL_IMAGES[name]() if name in SMALL_IMAGES else thinner(NETWORKS[name](), 0.25)


@pytest.mark.parametrize("name", PRODUCT)
def test_full_width_is_the_backbone_of_the_toolchain(name):
    """Multiply-adds of every convolution, counted by running PyTorch's network; a classifier made of one is no part."""
    counted = []
    network = models.build(PRODUCT[name]).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.bias is None:
            module.register_forward_hook(lambda m, _, y: counted.append(m.weight.numel() * y[0, 0].numel()))
    with torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    bench = NETWORKS[name]()
    assert sorted(counted) == sorted(conv.layer.macs for conv in bench.convs.values())


def described(model):
    """Gates and gated convolutions as a sorted list of what costs time: weight shapes, strides, padding, residual."""
    sizes = {item.name: list(item.dims) for item in model.graph.initializer}
    rows = []
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "SanpChannelGate":
            rows.append((node.op_type, [sizes[node.input[1]], sizes[node.input[3]]]))
        elif node.op_type == "SanpGatedConv":
            adds = node.input[5] not in sizes
            geometry = [list(attributes[key]) for key in ("strides", "pads", "dilations")]
            rows.append((node.op_type, [sizes[node.input[1]], *geometry, attributes["act_min"], adds]))
    return sorted(rows, key=str)


@pytest.mark.parametrize("name", ["m-cifarnet", "resnet18"])
def test_controlled_graph_is_what_the_exporter_writes(name, tmp_path):
    torch.manual_seed(0)
    backbone = models.build(PRODUCT[name], width=0.25)
    gated = sanp.gate(backbone, torch.zeros(1, 3, 32, 32)).eval()
    sanp.export(gated, tmp_path / "net.onnx", example_input=torch.zeros(2, 3, 32, 32))
    exported = described(onnx.load(tmp_path / "net.onnx"))
    ours = described(controlled(thin(name), gates=True))
    assert len(ours) == len(exported) > 0
    assert ours == exported


@pytest.mark.parametrize("gates", [True, False])
@pytest.mark.parametrize("name", [*PRODUCT, *SMALL_IMAGES])
def test_kernels_answer_as_the_functions_do(name, gates, library):
    seed = 11
    network = thin(name)
    model = networks.at_batch(controlled(network, gates), 3)
    masks, _ = networks.draw_masks(network, 0.5, 3, [seed])
    rng = np.random.default_rng(seed)
    feeds = {"x": rng.standard_normal((3, 3, 32, 32), dtype=np.float32), **masks[0]}
    fast = session(model.SerializeToString(), library).run(None, feeds)[0]
    oracle = session(with_functions(model).SerializeToString()).run(None, feeds)[0]
    assert np.abs(fast - oracle).max() <= 1e-5 * np.abs(oracle).max(), f"seed {seed}"
    assert np.abs(oracle).max() > 0


def test_without_library_the_timed_file_does_not_run():
    """Otherwise a run without our kernels could be timed as ours."""
    model = controlled(thin("m-cifarnet"), gates=True)
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.Fail, match="Sanp"):
        session(model.SerializeToString())


@pytest.mark.parametrize("name", [*PRODUCT, *SMALL_IMAGES])
def test_all_masks_open_is_the_dense_network(name, library):
    network = thin(name)
    x = np.random.default_rng(5).standard_normal((1, 3, 32, 32), dtype=np.float32)
    gated = {name: conv for name, conv in network.convs.items() if conv.mask == "own"}
    open_masks = {f"{name}.mask": np.ones((1, conv.layer.c_out), np.float32) for name, conv in gated.items()}
    replay = session(controlled(network, gates=False).SerializeToString(), library)
    dense = session(networks.dense(network).SerializeToString()).run(None, {"x": x})[0]
    answer = replay.run(None, {"x": x, **open_masks})[0]
    assert np.abs(answer - dense).max() <= 1e-5 * np.abs(dense).max()


@pytest.mark.parametrize("name", [*PRODUCT, *SMALL_IMAGES])
def test_cost_is_what_the_graph_really_computes(name):
    """The activity that reaches every node of the function-body model, counted there, against the claimed cost."""
    network, batch = thin(name), 3
    model = with_functions(networks.at_batch(controlled(network, gates=True), batch))
    convs = [node for node in model.graph.node if node.op_type == "SanpGatedConv"]
    wired = {node.output[0]: (node.input[0], node.input[2], node.input[4]) for node in convs}
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    shown = sorted({t for row in wired.values() for t in row} - {"x", *constants})
    model.graph.output.extend(helper.make_tensor_value_info(t, 1, None) for t in shown)
    masks, cost = networks.draw_masks(network, 0.5, batch, [3])
    x = np.random.default_rng(3).standard_normal((batch, 3, 32, 32), dtype=np.float32)
    made = session(model.SerializeToString())
    values = dict(zip(shown, made.run(shown, {"x": x, **masks[0]})))
    values |= {"x": x, **constants}
    macs = float(sum(conv.layer.macs for name, conv in network.convs.items() if name not in wired))
    for layer, (source, scale, active) in wired.items():
        zero = np.broadcast_to(values[active] == 0, values[source].shape[:2])
        groups = network.convs[layer].layer.group
        assert not values[source][zero].any(), f"{layer} is told to skip channels that are not zero"
        out, into = ((values[key] != 0).reshape(len(values[key]), groups, -1).mean(2) for key in (scale, active))
        shares = out * into
        macs += network.convs[layer].layer.macs * float(shares.mean())
    assert macs / network.macs == pytest.approx(cost, rel=1e-5)


@pytest.mark.parametrize("name", PRODUCT)
def test_only_the_weights_of_small_maps_are_rounded(name):
    network = thin(name)
    plain = controlled(network, gates=False)
    before, after = (
        {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        for model in (plain, rounded(plain, network))
    )
    changed = {key for key, value in before.items() if not np.array_equal(value, after[key])}
    assert changed == {f"{key}.w" for key, conv in network.convs.items() if conv.layer.out <= 4}
    for key in changed:
        assert not (after[key].view(np.uint32) & 0xFFFF).any()
        np.testing.assert_allclose(after[key], before[key], rtol=2**-8)


def test_samples_of_a_batch_have_masks_of_their_own():
    masks, _ = networks.draw_masks(thin("vgg19"), 0.5, 4, [0, 1])
    drawn = [sample.tobytes() for feed in masks for sample in feed["conv0.mask"]]
    assert len(set(drawn)) == len(drawn) == 8


@pytest.mark.parametrize("name", PRODUCT)
@pytest.mark.parametrize("multiple, within", [(1, 0.01), (16, 0.03)])
def test_narrowed_network_has_the_multiply_adds_of_the_gated_one(name, multiple, within):
    network = NETWORKS[name]()
    cost = OPERATING_POINTS[name]
    narrow = narrowed(network, cost, multiple)
    assert narrow.macs / network.macs == pytest.approx(cost, rel=within)
    assert all(conv.layer.c_out % multiple == 0 for conv in narrow.convs.values())
    x = np.zeros((1, 3, 32, 32), np.float32)
    logits = session(networks.dense(narrow).SerializeToString()).run(None, {"x": x})[0]
    assert logits.shape == (1, 10), "it is a network that runs"


@pytest.mark.parametrize("name", [name for name in EDGE_NETWORKS if name.endswith("@96")])
def test_networks_of_the_edge_are_narrowed_where_their_gates_are(name):
    """Equal multiply-adds, whole vectors, and no layer without a gate with other channels than before."""
    network = EDGE_NETWORKS[name]()
    cost = networks.draw_masks(network, kept_fraction(name, network), 4, range(2))[1]
    narrow = narrowed(network, cost, 16)
    assert narrow.macs / network.macs == pytest.approx(cost, rel=0.05)
    for key, conv in network.convs.items():
        before, after = conv.layer, narrow.convs[key].layer
        if conv.mask == "open" and not key.endswith(".excite"):  # that has the channels of the layer that it scales
            assert after.c_out == before.c_out, key
        else:
            assert after.c_out < before.c_out and after.c_out % 16 == 0, key
        assert before.group == after.group == 1 or after.c_in // after.group == before.c_in // before.group, key
    x = np.zeros((1, 3, 96, 96), np.float32)
    assert session(networks.dense(narrow).SerializeToString()).run(None, {"x": x})[0].shape == (1, 10)


@pytest.mark.parametrize("name", SMALL_IMAGES)
def test_thinner_networks_of_the_edge_run(name):
    network = thinner(SMALL_IMAGES[name](), 0.5)
    widths = [conv.layer.c_out for conv in network.convs.values()]
    assert sum(widths) < 0.6 * sum(conv.layer.c_out for conv in SMALL_IMAGES[name]().convs.values())
    x = np.zeros((1, 3, 32, 32), np.float32)
    assert session(networks.dense(network).SerializeToString()).run(None, {"x": x})[0].shape == (1, 10)


def test_plan_reaches_the_operating_point():
    plan = Plan.make("m-cifarnet")
    cost = networks.draw_masks(plan.network, plan.keep, 8, range(4))[1]
    assert cost == pytest.approx(OPERATING_POINTS["m-cifarnet"], rel=0.02)


def test_int8_network_is_quantised_per_channel_and_close(tmp_path):
    network = thin("resnet18")
    model = quantise(networks.dense(network), tmp_path / "int8.onnx", 32)
    sizes = {item.name: list(item.dims) for item in model.graph.initializer}
    weights = [n for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0].startswith("s0b0.a.w")]
    assert [sizes[node.input[1]] for node in weights] == [[16]], "one scale per output channel"
    x = np.random.default_rng(1).standard_normal((4, 3, 32, 32), dtype=np.float32)
    small, full = (
        session(networks.at_batch(m, 4).SerializeToString()).run(None, {"x": x})[0]
        for m in (model, networks.dense(network))
    )
    error = np.sqrt(np.mean((small - full) ** 2) / np.mean(full**2))
    assert 1e-4 < error < 0.1


@pytest.mark.parametrize("name", PRODUCT)
def test_narrowed_int8_is_the_narrowed_network_quantised(name, tmp_path):
    """Its convolutions have the widths of the float file of equal multiply-adds, and its answers come close to it."""
    plan = Plan.make(name, 0.5)
    engines = [engine for engine in ENGINES if engine.model == "narrow-int8" and engine.runtime == "onnxruntime"]
    prepared = prepare(plan, 1, engines, tmp_path / "batch1")
    assert plan.share("narrow-int8", 0.5) == plan.share("narrow", 0.5) == plan.narrow.macs / plan.network.macs
    model = onnx.load(prepared.models["onnxruntime", "narrow-int8"])
    weights = {item.name: item for item in model.graph.initializer}
    made = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [weights[made[node.input[1]]] for node in model.graph.node if node.op_type == "Conv"]
    assert [item.dims[0] for item in convolutions] == [conv.layer.c_out for conv in plan.narrow.convs.values()]
    assert all(item.data_type == onnx.TensorProto.INT8 for item in convolutions)
    feeds = np.load(prepared.feeds["narrow-int8"])["x"]
    small = session(model.SerializeToString())
    answers = np.stack([small.run(None, {"x": x})[0] for x in feeds])
    error = engines[0].error(answers, prepared.truth["narrow"])
    assert 1e-4 < error < engines[0].tolerance
    assert engines[0].error(answers, prepared.truth["narrow"][::-1]) > 2 * error, "the check tells samples apart"


def test_both_int8_files_are_calibrated_on_the_same_images(monkeypatch, tmp_path):
    """And the file made at batch 1 serves the other batches."""
    seen = []

    def keep(model, path, reader, **_):
        seen.append([feed["x"] for feed in iter(reader.get_next, None)])
        onnx.save(model, path)

    monkeypatch.setattr(onnxruntime.quantization, "quantize_static", keep)
    plan = Plan.make("m-cifarnet", 0.125)
    plain = ("dense", "narrow")  # the gated ones are quantised by our own passes
    engines = [
        engine for engine in ENGINES if engine.int8 and engine.runtime == "onnxruntime" and engine.oracle in plain
    ]
    assert sorted(engine.oracle for engine in engines) == ["dense", "narrow"]
    for batch in (1, 2):
        prepare(plan, batch, engines, tmp_path / f"batch{batch}")
    assert len(seen) == 2 and len(seen[0]) == 64
    np.testing.assert_array_equal(*seen)


@pytest.mark.parametrize("gates", [True, False])
@pytest.mark.parametrize("name", PRODUCT)
def test_gated_int8_is_the_gated_network_on_bytes(name, gates, library):
    """Every gated layer is one of bytes, and under the same masks the answers come close to float32."""
    plan = Plan.make(name, 0.5)
    model = controlled(plan.network, gates)
    masks, _ = networks.draw_masks(plan.network, plan.keep, 1, range(6))
    rng = np.random.default_rng(3)
    feeds = [{"x": rng.standard_normal((1, 3, 32, 32), dtype=np.float32), **mask} for mask in masks]
    small = on_bytes(model, feeds)
    ops = [node.op_type for node in small.graph.node]
    assert ops.count("SanpGatedQLinearConv") == len(plan.network.convs) and "SanpGatedConv" not in ops
    assert ops.count("SanpQLinearChannelGate") == (len(plan.network.convs) if gates else 0)
    runs = [session(networks.at_batch(m, 1).SerializeToString(), library) for m in (small, model)]
    found, truth = (np.stack([run.run(None, feed)[0] for feed in feeds]) for run in runs)
    error = np.sqrt(np.mean((found - truth) ** 2) / np.mean(truth**2))
    assert 1e-4 < error < 0.05


@pytest.mark.parametrize("gates", [True, False])
def test_blocks_are_one_node_in_the_timed_file(gates, library):
    """Fused by the pass of the product, with the answers of the function bodies of the file before."""
    network = SMALL_IMAGES["mobilenet-v2-half"]()
    model = controlled(network, gates)
    made = fused(model)
    ops = [node.op_type for node in made.graph.node]
    assert ops.count("SanpInvertedResidual") == sum(key.endswith(".expand") for key in network.convs) == 16
    masks, _ = networks.draw_masks(network, 0.5, 2, [5])
    feeds = {"x": np.random.default_rng(5).standard_normal((2, 3, 32, 32), dtype=np.float32), **masks[0]}
    fast = session(networks.at_batch(made, 2).SerializeToString(), library).run(None, feeds)[0]
    oracle = session(networks.at_batch(with_functions(model), 2).SerializeToString()).run(None, feeds)[0]
    assert np.abs(fast - oracle).max() <= 1e-5 * np.abs(oracle).max()


@pytest.mark.parametrize("name", ["mobilenet-v2-half", "shufflenet-v2"])
def test_int8_of_an_edge_network_has_open_layers_too(name, library):
    """All but depthwise layers that no gate reaches: those are what the product leaves to ONNX Runtime."""
    network = SMALL_IMAGES[name]()
    model = controlled(network, gates=False)
    masks, _ = networks.draw_masks(network, 0.5, 1, range(4))
    rng = np.random.default_rng(3)
    feeds = [{"x": rng.standard_normal((1, 3, 32, 32), dtype=np.float32), **mask} for mask in masks]
    small = on_bytes(model, feeds)
    ops = [node.op_type for node in small.graph.node]
    left = [key for key, conv in network.convs.items() if conv.mask == "open" and conv.layer.group > 1]
    assert ops.count("Conv") == len(left) and ops.count("SanpGatedQLinearConv") == len(network.convs) - len(left)
    runs = [session(made.SerializeToString(), library) for made in (small, model)]
    found, truth = (np.stack([run.run(None, feed)[0] for feed in feeds]) for run in runs)
    assert 1e-4 < np.sqrt(np.mean((found - truth) ** 2) / np.mean(truth**2)) < INT8_TOLERANCE
