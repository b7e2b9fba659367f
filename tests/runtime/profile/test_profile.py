"""The profile of a real bundle: every derived number follows from the raw ones; nothing slow passes as fast."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import onnx
import pytest

from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import DENSE, GATED, LIBRARY_FILE, VARIANTS
from sanp_runtime.engines.bound_call import BoundCall
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.measure.node_times import NodeTime, _aggregate
from sanp_runtime.network.blocks import title_of
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import sample_macs
from sanp_runtime.network.support import Dense, Gate
from sanp_runtime.profile.batches import batches_of
from sanp_runtime.profile.layer_rows import gates_of_profile, layer_rows, node_times
from sanp_runtime.profile.layer_times import layer_times
from sanp_runtime.profile.profile import profile
from sanp_targets.errors import AccelerationError, ConfigError, InputError, ValidationError
from tests.support import tiny_net
from tests.support.tiny_bundle import make_manifest, make_reference

PLAIN = EngineOptions(library=None)
SHORT = {"duration_s": 0.05}


@pytest.fixture(scope="module")
def result(pristine):
    return profile(pristine, PLAIN, **SHORT).to_json()


def test_numbers_follow_from_the_raw_values(result):
    json.dumps(result, allow_nan=False)
    reference = make_reference()
    expected = sample_macs(tiny_net.LAYERS, reference.scales)
    assert result["schema_version"] == 4 and result["settings"]["source"] == "reference.npz"
    assert result["macs"]["gated_mean"] == pytest.approx(expected.mean())
    np.testing.assert_allclose([row["macs"] for row in result["samples"]], expected)
    typical = {name: np.mean([row[f"{name}_ms"] for row in result["samples"]]) for name in ("dense", "open", "gated")}
    ratios = result["ratios"]
    assert ratios["measured"] == pytest.approx(typical["dense"] / typical["gated"])
    assert ratios["overhead"] == pytest.approx(typical["open"] / typical["dense"])
    assert ratios["theoretical"] == pytest.approx(result["macs"]["dense"] / expected.mean())
    assert ratios["efficiency"] == pytest.approx(ratios["measured"] / ratios["theoretical"])
    for name, engine in result["variants"].items():
        block = engine["latency"]
        assert block["count"] == len(block["values"]) and block["count"] % 6 == 0, name
        rounds = np.reshape(block["values"], (-1, 6))
        np.testing.assert_allclose(np.median(rounds, 0), [row[f"{name}_ms"] for row in result["samples"]], atol=1e-6)


def test_what_is_timed_is_the_public_call(pristine, monkeypatch):
    """Every latency is one call of what `Engine.bind` returns; warm-up and the first call of a block come on top."""
    calls, call = Counter(), BoundCall.__call__
    monkeypatch.setattr(BoundCall, "__call__", lambda self: (calls.update([id(self.outputs["logits"])]), call(self))[1])
    found = profile(pristine, PLAIN, **SHORT)
    assert len(calls) == 3 * 6, "three variants with a bound call for each of the six samples"
    timed = sum(times.latency["count"] for times in found.variants.values())
    assert sum(calls.values()) > timed + sum(times.warm_up.calls for times in found.variants.values())


def test_layers_add_up(result):
    rows = {row["name"]: row for row in result["layers"]}
    assert sum(row["macs_dense"] for row in rows.values()) == result["macs"]["dense"]
    assert sum(row["macs_gated"] for row in rows.values()) == pytest.approx(result["macs"]["gated_mean"])
    reference = make_reference()
    assert rows["stem"]["open_fraction"] == pytest.approx((reference.scales["stem"] != 0).mean())
    assert rows["stem"]["varies"] is True and rows["head"]["open_fraction"] is None
    assert rows["stem"]["dense_ms"] > 0 and rows["head"]["dense_ms"] > 0


def test_slow_success_is_a_failure(result, native_library, tmp_path):
    """One layer is written with standard operators: ONNX Runtime runs it happily, the profile must not."""
    assert result["proof"]["passed"] is False, "without the library nothing may look accelerated"
    bundle = write_bundle(tmp_path / "slow.sanp", spoil="block.b/conv", library=native_library)
    with pytest.raises(AccelerationError, match=r"1 of 6.*block\.b/conv"):
        profile(bundle, duration_s=0.05)


def test_native_profile(native_path):
    result = profile(native_path, duration_s=0.05).to_json()
    assert result["proof"]["passed"] and result["library"]["isa"]
    rows = {row["name"]: row for row in result["layers"]}
    assert all(rows[name]["gated_ms"] > 0 and rows[name]["open_ms"] > 0 for name in tiny_net.GATED)


def test_batches_issue_every_sample_equally_often(pristine):
    x = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1)
    for size in (1, 2, 5):
        parts = batches_of(x, size)
        assert len(parts) == 5 and all(part.shape[0] == size for part in parts)
        assert np.bincount(np.concatenate(parts).ravel().astype(int)).tolist() == [size] * 5
    result = profile(pristine, PLAIN, batch=4, samples=tiny_net.samples(5), **SHORT).to_json()
    assert result["settings"]["source"] == "caller" and len(result["samples"]) == 5


@pytest.mark.parametrize("batch", [0, -1, 7, 1.5, True])
def test_batch_is_checked(pristine, batch):
    with pytest.raises(ConfigError, match="batch"):
        profile(pristine, PLAIN, batch=batch, **SHORT)


def test_samples_are_checked(pristine):
    with pytest.raises(InputError):
        profile(pristine, PLAIN, samples=np.zeros((2, 3, 8, 9), np.float32), **SHORT)


def write_bundle(path, open_weights=None, spoil=None, library=None):
    """A bundle whose open variant has other weights, or whose node `spoil` is in a domain that our library lacks."""
    blob, offsets = bytearray(), {}
    with BundleWriter(path) as writer:
        for kind in VARIANTS:
            weights = open_weights if kind == "open" and open_weights else tiny_net.weights()
            model = tiny_net.build_graph(kind, weights)
            for item in model.graph.node:
                if item.name == spoil and kind != "dense":
                    item.domain = "other"
            if spoil and kind != "dense":
                model.opset_import.append(onnx.helper.make_opsetid("other", 1))
                twin = model.functions.add()
                twin.CopyFrom(model.functions[0])
                twin.domain = "other"
            writer.add_bytes(f"{kind}.onnx", tiny_net.external(model, offsets, blob))
        writer.add_bytes("weights.bin", bytes(blob))
        writer.add_reference(make_reference())
        if library is not None:
            writer.add_file(LIBRARY_FILE, library)
        return writer.finish(make_manifest())


def test_wrong_open_variant_is_not_timed(tmp_path):
    """An open variant with other weights than the dense one must stop the profile before any number is made."""
    other = tiny_net.weights()
    other["block.b.weight"] = other["block.b.weight"] * np.float32(1.001)
    with pytest.raises(ValidationError, match="not the dense network"):
        profile(write_bundle(tmp_path / "wrong.sanp", open_weights=other), PLAIN, **SHORT)


def node(name: str, op: str, weight: tuple, output: tuple, ms: float) -> NodeTime:
    return NodeTime(name, op, "CPUExecutionProvider", 1, ms, ((1, 3, 8, 8), weight), (output,))


def test_one_preemption_does_not_change_a_node_time():
    events = [
        {"name": "a/conv_kernel_time", "dur": dur, "args": {"op_name": "Conv", "provider": "P"}}
        for dur in (900, 10, 11, 10, 9000, 9, 10)
    ]
    (row,) = _aggregate(events, skip=1)
    assert (row.name, row.op, row.provider, row.calls, row.typical_ms) == ("a/conv", "Conv", "P", 6, 0.01)
    assert _aggregate(events[:1], skip=4)[0].calls == 0


def test_nodes_find_their_layers():
    layers = (
        Layer("a", 3, 12, (8, 8), (3, 3)),
        Layer("a.b", 12, 12, (8, 8), (3, 3)),
        Layer("short", 12, 20, (4, 4), (1, 1)),
        Layer("c", 12, 20, (4, 4), (3, 3)),
        Layer("head", 20, 10, (1, 1)),
    )
    nodes = [
        node("a/conv", "SanpGatedConv", (12, 3, 3, 3), (1, 12, 8, 8), 1.0),
        node("a/gate", "SanpChannelGate", (4, 3), (1, 12), 0.5),
        node("a.b.conv_nchwc", "Conv", (16, 16, 3, 3), (1, 16, 8, 8), 2.0),
        node("relu_7_nchwc", "Conv", (32, 16, 3, 3), (1, 32, 4, 4), 4.0),
        node("_symbolic_7_nchwc", "Conv", (32, 16, 1, 1), (1, 32, 4, 4), 3.0),
        NodeTime("node_linear", "Gemm", "", 1, 5.0, ((1, 20),), ((1, 10),)),
        node("ReorderOutput", "ReorderOutput", (), (), 9.0),
    ]
    assert layer_times(layers, nodes) == {"a": 1.5, "a.b": 2.0, "short": 3.0, "c": 4.0, "head": 5.0}


def test_layers_of_a_block_have_one_time():
    """Their gates belong to it; equal layers elsewhere keep their own."""
    layers = (
        Layer("b.expand", 8, 32, (8, 8), gated=True, gate_hidden=4, support=Dense(8)),
        Layer("b.depthwise", 32, 32, (8, 8), (3, 3), groups=32, support=Gate("b.expand"), follows=Gate("b.expand")),
        Layer("b.project", 32, 8, (8, 8), support=Gate("b.expand")),
        Layer("other", 32, 8, (8, 8), support=Dense(32)),
    )
    blocks = {"b.expand/block": ("b.expand", "b.depthwise", "b.project")}
    nodes = [
        node("b.expand/gate", "SanpChannelGate", (4, 8), (1, 32), 0.25),
        node("b.expand/block", "SanpInvertedResidual", (32, 8, 1, 1), (1, 8, 8, 8), 2.0),
        node("b.project/gate/scale", "Mul", (1, 8), (1, 8), 0.5),
        node("node_Conv_9", "Conv", (8, 32, 1, 1), (1, 8, 8, 8), 3.0),
    ]
    dense = [node("b.expand/conv", "Conv", (32, 8, 1, 1), (1, 32, 8, 8), 1.0),
             node("b.depthwise/conv", "Conv", (32, 1, 3, 3), (1, 32, 8, 8), 1.5),
             node("b.project/conv", "Conv", (8, 32, 1, 1), (1, 8, 8, 8), 0.5), nodes[3]]  # fmt: skip
    assert layer_times(layers, nodes, blocks) == {"b.expand": 2.75, "other": 3.0}
    times = {GATED: node_times(layers, nodes, blocks), DENSE: node_times(layers, dense)}
    assert times[GATED].other_ms == 0.0
    scales = {"b.expand": np.tile(np.arange(32) % 2, (2, 1)).astype(float)}
    row, other = layer_rows(layers, (), scales, times, blocks)
    assert (row.name, row.layers) == ("b (expand, depthwise, project)", blocks["b.expand/block"])
    assert (row.channels, row.kernel, row.out_hw) == ((8, 32, 8), (3, 3), (8, 8))
    assert (row.dense_ms, row.gated_ms, row.gate_ms, row.open_ms) == (3.0, 2.75, 0.75, None)
    assert row.macs_dense == 64 * (8 * 32 + 9 * 32 + 32 * 8) and row.macs_gated == row.macs_dense / 2 + 4 * 40
    assert row.open_fraction == 0.5 and row.gated and not row.varies and not row.follows
    assert (other.name, other.layers, other.gated_ms, other.dense_ms) == ("other", ("other",), 3.0, 3.0)
    (gate,) = gates_of_profile(layers, scales, times)
    assert (gate.layer, gate.price_ms, gate.saved_ms) == ("b.expand", 0.25, pytest.approx(1.5))


def test_blocks_are_called_by_what_their_layers_share():
    assert title_of(["features.2.conv.0", "features.2.conv.3", "features.2.conv.6"]) == "features.2.conv (0, 3, 6)"
    assert title_of(["a", "a.b", "a.c"]) == "a + a.b + a.c"
    assert title_of(["a.x", "a.y.0", "a.z.0"]) == "a (x, y.0, z.0)"
    assert title_of(["alone.conv"]) == "alone.conv"
