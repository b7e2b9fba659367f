"""MobileNetV3 and ShuffleNetV2 of the benchmarks: their cost, their masks, and gated against dense."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.networks import gate_share
from benchmarks.networks.edge import EDGE_NETWORKS
from benchmarks.networks.graphs import dense_network, gated_network, model_bytes
from benchmarks.networks.masks import network_masks
from benchmarks.networks.mobilenet_v3 import mobilenet_v3_large
from benchmarks.networks.shapes import NETWORKS, Conv
from benchmarks.networks.shufflenet_v2 import shufflenet_v2
from benchmarks.networks.steps import step_nodes, step_support
from benchmarks.peers.controlled import with_functions
from benchmarks.sessions import Library, session

MAKERS = {"mobilenet-v3-large": mobilenet_v3_large, "shufflenet-v2": shufflenet_v2}
# The numbers of the papers are in millions and have a classifier of 1000 classes.
PUBLISHED = {"mobilenet-v3-large": (219, 1280), "shufflenet-v2": (146, 1024)}
GATED = {"mobilenet-v3-large": 15, "shufflenet-v2": 17}


@pytest.mark.parametrize("name", MAKERS)
def test_the_cost_is_the_published_one(name):
    network, (millions, width) = EDGE_NETWORKS[f"{name}@224"](), PUBLISHED[name]
    assert (network.macs + 1000 * width) / 1e6 == pytest.approx(millions, rel=0.02)
    gates = [conv for conv in network.convs.values() if conv.mask == "own"]
    assert len(gates) == GATED[name] and all(conv.layer.kernel == 1 for conv in gates)


@pytest.mark.parametrize("name", MAKERS)
def test_depthwise_layers_follow_what_feeds_them(name):
    network = MAKERS[name](64)
    followers = [conv for conv in network.convs.values() if conv.mask not in ("own", "open")]
    assert followers and all(conv.layer.group == conv.layer.c_in for conv in followers)
    assert {conv.mask for conv in followers} | {"head.conv"} == {k for k, c in network.convs.items() if c.mask == "own"}
    masks = network_masks(network, 0.5, np.random.default_rng(0))
    for key, conv in network.convs.items():
        if conv.mask not in ("own", "open"):
            reader = next(k for k, c in network.convs.items() if c.layer.kernel == 1 and _reads(network, c.source, key))
            assert (masks[f"{reader}.active"] == masks[f"{conv.mask}.scale"]).all()
            assert 0.45 < masks[f"{reader}.active"].mean() < 0.55


def _reads(network, source, wanted):
    """Whether a convolution that reads `source` reads the map of `wanted`, through steps if need be."""
    node = network.nodes.get(source)
    return source == wanted or (isinstance(node, tuple) and _reads(network, node[1], wanted))


@pytest.mark.parametrize("name", MAKERS)
def test_closed_channels_are_channels_without_weights(name, library):
    """Dense with zero weights, function bodies and our kernels give one answer, and another than the open network."""
    network = MAKERS[name](64)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 3, 64, 64), dtype=np.float32)
    dense = onnx.load_from_string(dense_network(network, np.random.default_rng(2)))
    model = gated_network(network, np.random.default_rng(2))
    bodies = session(with_functions(onnx.load_from_string(model)).SerializeToString())
    kernels, answers = Library(library).session(model), []
    for keep in (1.0, 0.5):
        masks = network_masks(network, keep, rng)
        for weights in dense.graph.initializer:
            conv = weights.name.removesuffix(".w")
            if weights.name.endswith(".w") and isinstance(network.nodes.get(conv), Conv):
                value = numpy_helper.to_array(weights) * masks[f"{conv}.scale"].reshape(-1, 1, 1, 1)
                weights.CopyFrom(numpy_helper.from_array(value, weights.name))
        answers.append(session(dense.SerializeToString()).run(None, {"x": x})[0])
        for side in (bodies, kernels):
            np.testing.assert_allclose(side.run(None, {"x": x, **masks})[0], answers[-1], rtol=1e-3, atol=1e-4)
    assert np.abs(answers[0] - answers[1]).max() > 0.05 * np.abs(answers[0]).max()


@pytest.mark.parametrize(
    "step", [("Slice", "a", 2, 5), ("Shuffle", "a", 2), ("Concat", "a", "b"), ("Mul", "a", "b"), ("HardSwish", "a"),
             ("HardSigmoid", "a"), ("GlobalAveragePool", "a")], ids=lambda step: step[0],
)  # fmt: skip
def test_support_is_where_a_step_leaves_numbers(step):
    known = {"a": np.array([[1, 0, 0, 1, 1, 0]], np.float32), "b": np.array([[0, 1, 0, 1, 0, 0]], np.float32)}
    maps = {key: np.tile(value[:, :, None, None], (1, 1, 2, 2)) for key, value in known.items()}
    constants = {}
    nodes = step_nodes("y", step, constants)
    made = session(model_bytes(nodes, [(key, list(value.shape)) for key, value in maps.items()], "y", constants))
    (found,) = made.run(None, maps)
    assert ((found != 0).any((2, 3)) == (step_support(step, known) != 0)).all()


@pytest.mark.parametrize("name", ["mobilenet-v2@96", "resnet18"])
def test_gates_of_the_price_list_decide_what_the_masks_say(name, library):
    """With the same masks every channel that a computed gate closes is closed in the network with masks as inputs."""
    network = (NETWORKS | EDGE_NETWORKS)[name]()
    feed, answers = gate_share.samples(network)[0], []
    for pooled in (True, False):
        model = onnx.load_from_string(gate_share.computed(network, pooled))
        scales = [f"{conv}.scale" for conv in network.convs if network.nodes[conv].mask != "open"]
        model.graph.output.extend(onnx.ValueInfoProto(name=scale) for scale in scales)
        made = Library(library).session(model.SerializeToString())
        answers.append(made.run(None, {value.name: feed[value.name] for value in made.get_inputs()}))
        for scale, found in zip(scales, answers[-1][1:]):
            assert ((found > 0) == (feed[scale] > 0)).all()
            assert 0.4 < (found > 0).mean() < 0.6
    assert (answers[0][0] != answers[1][0]).any()  # means of one are not the means of the maps
