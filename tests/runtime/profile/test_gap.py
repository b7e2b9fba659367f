"""The gap report on machines whose every cost is known: the parts add up, and each cause is told by its name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanp_runtime.contract import DENSE, GATED, OPEN
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Dense, Gate
from sanp_runtime.profile import gap
from sanp_runtime.profile.gap import break_even, gap_of
from sanp_runtime.profile.layer_rows import NodeTimes, layer_rows

LAYERS = (
    Layer("a", 64, 64, (16, 16), (3, 3), gated=True, gate_hidden=8, support=Dense(64)),
    Layer("b", 64, 64, (16, 16), (3, 3), support=Gate("a")),
)
OPEN_SHARE = 0.5  # of a's outputs: both layers do half of their work
SCALES = {"a": np.tile(np.arange(64) % 2, (4, 1)).astype(np.float64)}


def found(dense, opened, gated, gate=0.0, gate_open=None, least=0.001, layers=LAYERS, scales=None, factor=1.0):
    """The gap of a machine with these times (ms) of layer a; layer b loses nothing. factor: how the profiler slows."""
    other = {DENSE: 1.0, OPEN: 1.0, GATED: 0.5}
    times, gates = (
        {DENSE: dense, OPEN: opened, GATED: gated},
        {DENSE: 0.0, OPEN: gate if gate_open is None else gate_open, GATED: gate},
    )
    nodes, typical = {}, {}
    for name, own in times.items():
        total = own + other[name]
        typical[name] = total
        nodes[name] = NodeTimes(
            {"a": own * factor, "b": other[name] * factor},
            {"a": gates[name] * factor} if gates[name] else {},
            total * factor,
            0.0,
            least * factor,
        )
    rows = layer_rows(layers, (), SCALES if scales is None else scales, nodes)
    latency = {name: {"p99": None, "max": 2 * typical[name]} for name in typical}
    result = gap_of(layers, rows, nodes, latency, typical)
    return {row.layer: row for row in result.layers}, result


def share_of(row):
    return 1 - row.macs_saved


@given(
    st.floats(0.01, 5), st.floats(0.01, 5), st.floats(0.0, 5), st.floats(0.0, 1), st.floats(0.0, 1), st.floats(0.5, 3)
)
def test_the_parts_add_up_however_much_the_profiler_slows(dense, opened, gated, gate, gate_open, factor):
    row = found(dense, opened + gate_open, gated + gate, gate, gate_open, factor=factor)[0]["a"]
    assert row.gate_ms + row.kernel_ms + row.unscaled_ms == pytest.approx(row.lost_ms, abs=1e-9)
    assert row.saved_ms == pytest.approx(dense - gated - gate, abs=1e-9)
    assert row.saved_ms + row.lost_ms == pytest.approx(dense * row.macs_saved, abs=1e-9)
    assert row.efficiency == pytest.approx(row.saved_ms / (dense * row.macs_saved), rel=1e-6)


def test_a_layer_whose_time_falls_like_its_work_has_no_cause():
    row = found(1.0, 1.0, 0.51)[0]["a"]
    assert row.cause is None and row.efficiency == pytest.approx(1.0, abs=0.05)
    assert found(1.0, 1.0, 0.5)[0]["b"].cause is None
    assert found(0.004, 0.004, 0.004)[0]["a"].cause is None, "too little of the whole for times per node to tell"


@pytest.mark.parametrize(
    ("times", "cause"),
    [
        ({"dense": 1.0, "opened": 1.3, "gated": 0.8, "gate": 0.3}, gap.GATE),
        ({"dense": 1.0, "opened": 2.0, "gated": 1.0}, gap.KERNEL),
        ({"dense": 1.0, "opened": 1.0, "gated": 0.99}, gap.NOT_SKIPPED),
        ({"dense": 0.012, "opened": 0.012, "gated": 0.010, "least": 0.003}, gap.LAUNCH),
        ({"dense": 1.0, "opened": 1.0, "gated": 0.8}, gap.FIXED),
    ],
)
def test_each_cause_is_named(times, cause):
    assert found(**times)[0]["a"].cause == cause


def test_few_channels_and_memory_are_told_apart():
    scales = {"a": np.tile(np.arange(64) < 8, (4, 1)).astype(np.float64)}
    assert found(1.0, 1.0, 0.8, scales=scales)[0]["a"].cause == gap.FEW_CHANNELS
    # A 1x1 layer on a large map, which moves many bytes for each MAC, beside one that does the opposite.
    wide = Layer("a", 64, 64, (64, 64), (1, 1), gated=True, gate_hidden=8, support=Dense(64))
    deep = Layer("b", 64, 512, (8, 8), (5, 5), support=Gate("a"))
    assert found(1.0, 1.0, 0.8, layers=(wide, deep))[0]["a"].cause == gap.MEMORY


def test_one_layer_alone_is_not_called_memory_bound():
    """It has the highest rates of the run, so there is nothing that it could be held up by."""
    assert found(1.0, 1.0, 0.8, layers=(LAYERS[0], LAYERS[1]))[0]["a"].cause == gap.FIXED


def test_the_most_lossy_layer_is_first_and_unknown_times_are_left_out():
    rows, result = found(1.0, 2.0, 1.0)
    assert [row.layer for row in result.layers] == ["a", "b"]
    assert result.overhead_ms == pytest.approx(1.0)
    assert result.upper_bound_ms == {"typical": pytest.approx(3.0), "p99": None, "max": pytest.approx(6.0)}
    nodes = {name: NodeTimes({"a": 1.0}, {}, 1.0, 0.0, 0.1) for name in (DENSE, OPEN, GATED)}
    rows = layer_rows(LAYERS, (), SCALES, nodes)
    blocks = {name: {"p99": 1.0, "max": 1.0} for name in nodes}
    assert [row.layer for row in gap_of(LAYERS, rows, nodes, blocks, dict.fromkeys(nodes, 1.0)).layers] == ["a"]
    assert gap_of(LAYERS, rows, {DENSE: nodes[DENSE]}, blocks, {DENSE: 1.0}) is None


@given(st.floats(0.05, 0.95), st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.1, 10))
def test_break_even_is_where_the_line_meets_the_dense_time(share, main, opened, dense):
    point = break_even(share, main, opened, dense)
    if opened <= dense:
        assert point == 1.0
    elif point is not None:
        at = main + (opened - main) * (point - share) / (1 - share)
        assert 0 < point < 1 and at == pytest.approx(dense, rel=1e-6, abs=1e-6)
    else:
        assert main >= opened or main - (opened - main) * share / (1 - share) >= dense * (1 - 1e-9)


def test_a_block_is_one_row_whose_lanes_are_those_of_its_gate():
    """Its parts add up; 4 of 16 open channels are few for a vector, however many come out."""
    layers = (
        Layer("a.expand", 64, 16, (16, 16), gated=True, gate_hidden=8, support=Dense(64)),
        Layer("a.depthwise", 16, 16, (16, 16), (3, 3), groups=16, support=Gate("a.expand"), follows=Gate("a.expand")),
        Layer("a.project", 16, 64, (16, 16), support=Gate("a.expand")),
    )
    blocks = {"a.expand/block": ("a.expand", "a.depthwise", "a.project")}
    apart = {"a.expand": 0.4, "a.depthwise": 0.2, "a.project": 0.4}
    nodes = {DENSE: NodeTimes(apart, {}, 1.0, 0.0, 0.001)}
    nodes[OPEN] = NodeTimes({"a.expand": 1.1}, {"a.expand": 0.1}, 1.1, 0.0, 0.001)
    nodes[GATED] = NodeTimes({"a.expand": 0.8}, {"a.expand": 0.1}, 0.8, 0.0, 0.001)
    scales = {"a.expand": np.tile(np.arange(16) < 4, (2, 1)).astype(np.float64)}
    rows = layer_rows(layers, (), scales, nodes, blocks)
    latency = {name: {"p99": None, "max": 1.0} for name in nodes}
    typical = {name: row.total_ms for name, row in nodes.items()}
    (row,) = gap_of(layers, rows, nodes, latency, typical).layers
    assert row.layer == "a (expand, depthwise, project)" and row.gate_ms == pytest.approx(0.1)
    assert row.saved_ms == pytest.approx(0.2)
    assert row.gate_ms + row.kernel_ms + row.unscaled_ms == pytest.approx(row.lost_ms)
    assert row.cause == gap.FEW_CHANNELS
