"""The fit against a machine whose times are known: a formula that shares no code with the predictor."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls

from sanp_runtime.latency.fit import ClosedTimes, fit, least_points, require_points
from sanp_runtime.latency.least_squares import nonnegative
from sanp_runtime.latency.points import closed_point, open_point, spread_points
from sanp_runtime.latency.rows import LatencyRow, Shape
from sanp_runtime.latency.table import LatencyTable
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import OpenChannels, count_costs
from sanp_runtime.network.support import Dense, Gate, any_of
from sanp_targets.errors import ConfigError, InputError
from tests.support.latency_tables import table_for

PAIR_NS, OUT_NS, IN_NS, CALL_US, UNION_US, OTHER_US = 0.9, 12.0, 5.0, 2.0, 0.7, 11.0


def residual_network(blocks, width=12):
    """A stem, `blocks` residual blocks of two layers at 8x8, and a head: layers in order."""
    rows = [Layer("stem", 3, width, (8, 8), (3, 3), gated=True, gate_hidden=4, support=Dense(3))]
    stream = Gate("stem")
    for index in range(blocks):
        first, second = f"b{index}.a", f"b{index}.b"
        rows.append(Layer(first, width, width, (8, 8), (3, 3), gated=True, gate_hidden=4, support=stream))
        rows.append(Layer(second, width, width, (8, 8), (3, 3), gated=True, gate_hidden=4, support=Gate(first)))
        stream = any_of([stream, Gate(second)])
    return (*rows, Layer("head", width, 5, (1, 1), head=True, support=stream))


class Machine:
    """Walks through a network as a processor would, layer by layer and sample by sample; times in ms."""

    def __init__(self, layers):
        self.layers = layers

    def layer_us(self, layer, point):
        if not layer.gated:
            return 3.0
        if layer.name == "stem":
            inputs = 3
        elif layer.name.endswith(".b"):
            inputs = int(point[layer.name[:-1] + "a"].sum())
        else:  # what any layer before it on the shortcut left open
            before = [one.name for one in self.layers[: self.layers.index(layer)] if not one.name.endswith(".a")]
            inputs = int(np.any([point[name] > 0 for name in before], axis=0).sum())
        outputs = int(point[layer.name].sum())
        return CALL_US + 1e-3 * 64 * (PAIR_NS * inputs * outputs + OUT_NS * outputs + IN_NS * inputs)

    def ms(self, point):
        return 1e-3 * (OTHER_US + self.unions_us() + sum(self.layer_us(layer, point) for layer in self.layers))

    def unions_us(self):
        """A block that reads a shortcut adds one scale to what the block before it read; the first reads the stem's."""
        return UNION_US * (sum(layer.name.endswith(".a") for layer in self.layers) - 1)

    def profiled(self, point, slower=1.4):
        """What a profiler tells that makes everything slower."""
        times = {layer.name: slower * 1e-3 * self.layer_us(layer, point) for layer in self.layers}
        unions = slower * 1e-3 * self.unions_us()
        return ClosedTimes(times, unions, sum(times.values()) + unions + slower * 1e-3 * OTHER_US)


def table_of(layers, noise=0.0, count=96):
    machine, points = Machine(layers), spread_points(layers, count)
    rng = np.random.default_rng(5)
    times = np.array([machine.ms(point) for point in points]) * (1 + noise * rng.standard_normal(count))
    found = fit(layers, points, times, machine.profiled(closed_point(layers)))
    return found, LatencyTable(
        created="2026-01-01T00:00:00+00:00", bundle={"name": "synthetic"}, settings={"threads": 1, "batch": 1},
        device={"arch": "none"}, device_id="abc", device_name="a formula", versions={}, controls={}, layers=layers,
        rows=found.rows, union_ms=found.union_ms, other_ms=found.other_ms, dense_ms=float(times[0]),
        open_ms=float(times[0]),
        error={"points": found.error.points, "median": found.error.median}, validity={"verdict": "VALID"},
    )  # fmt: skip


def test_a_network_that_was_not_fitted_is_predicted():
    """Fitted on two blocks, asked for seven: every layer's own time must be right, not only their sum."""
    _, table = table_of(residual_network(2))
    deep = residual_network(7)
    points = spread_points(deep, 40, seed=9)
    wanted = np.array([Machine(deep).ms(point) for point in points])
    masks = {name: np.concatenate([point[name] for point in points]) for name in points[0]}
    np.testing.assert_allclose(table.predict(deep, masks), wanted, rtol=1e-3)


def test_a_machine_of_this_form_is_found_exactly():
    layers = residual_network(3)
    found, table = table_of(layers)
    assert found.error.points == 24 and found.error.largest < 1e-6
    row = next(row for row in table.rows if row.shape == Shape.of(layers[1]))
    assert row.layers == tuple(layer.name for layer in layers[1:-1])
    assert row.pair_ms == pytest.approx(64e-6 * PAIR_NS, rel=1e-4)
    assert row.time_ms(6, 12) - row.time_ms(6, 6) == pytest.approx(64e-6 * 6 * (6 * PAIR_NS + OUT_NS), rel=1e-4)


def test_noise_stays_noise():
    """Two percent of noise in every time: the errors of points not seen are noise, the prediction is better."""
    layers = residual_network(3)
    found, table = table_of(layers, noise=0.02, count=192)
    assert 0.005 < found.error.median < 0.03
    points = spread_points(layers, 50, seed=3)
    wanted = np.array([Machine(layers).ms(point) for point in points])
    masks = {name: np.concatenate([point[name] for point in points]) for name in points[0]}
    assert np.abs(table.predict(layers, masks) / wanted - 1).max() < 0.02


def test_points_tell_that_they_are_too_few_or_no_times():
    layers = residual_network(1)
    points = spread_points(layers, 12)
    with pytest.raises(InputError, match=r"11 masks were given for the 4 terms.*at least 12 masks"):
        fit(layers, points[:11], np.ones(11), ClosedTimes({}, 0.0, 1.0))
    with pytest.raises(InputError, match="12 masks and 11 times"):
        fit(layers, points, np.ones(11), ClosedTimes({}, 0.0, 1.0))
    with pytest.raises(InputError, match="positive number"):
        fit(layers, points, np.zeros(12), ClosedTimes({}, 0.0, 1.0))


def test_many_shapes_need_many_points():
    """Every shape has coefficients of its own: 80 of them are more than 192 points tell apart."""
    assert least_points([Layer("head", 4, 5, (1, 1), head=True, support=Dense(4))]) == 8
    layers = [Layer("l0", 3, 10, (8, 8), (3, 3), gated=True, gate_hidden=4, support=Dense(3))]
    for index in range(1, 81):
        before = Gate(layers[-1].name)
        layers.append(
            Layer(f"l{index}", 9 + index, 10 + index, (8, 8), (3, 3), gated=True, gate_hidden=4, support=before)
        )
    assert least_points(layers) == 3 * (1 + 80 * 3)
    with pytest.raises(InputError, match=r"192 masks were given for the 241 terms.*at least 723 masks"):
        require_points(layers, 192)


def test_a_layer_in_groups_has_the_time_that_it_is_counted_with():
    """Pairs meet within a group: a quarter of them with four groups."""
    layer = Layer(
        "b", 8, 12, (4, 4), (3, 3), groups=4, gated=True, gate_hidden=4, support=Gate("a"),
    )  # fmt: skip
    row = LatencyRow(Shape.of(layer), ("b",), 0.5, 0.01, 0.02, 0.03)
    masks = OpenChannels({"a": np.ones((1, 8)), "b": np.ones((1, 12))})
    assert row.time_ms(8, 12) == pytest.approx(float(np.ravel(count_costs([layer], [row.cost], masks))[0]))
    assert row.time_ms(8, 12) == pytest.approx(0.5 + 0.01 * 4 * (2 * 3) + 0.02 * 12 + 0.03 * 8)


@pytest.mark.parametrize("seed", range(30))
def test_least_squares_agree_with_scipy(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((20, 7)) + (seed % 3)
    if seed % 5 == 0:
        matrix[:, 2] = 0.0
    wanted = rng.standard_normal(20)
    found = nonnegative(matrix, wanted)
    best, rest = nnls(matrix, wanted)
    assert (found >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(matrix @ found - wanted), rest, rtol=1e-8)
    np.testing.assert_allclose(found, best, atol=1e-8)


def test_equal_columns_share_a_solution():
    column = np.linspace(1, 2, 9)
    found = nonnegative(np.stack([column, column], 1), 3 * column)
    assert found.sum() == pytest.approx(3) and (found >= 0).all()


@pytest.mark.parametrize("seed", range(10))
def test_times_grow_with_every_channel(seed):
    """Whatever was measured, sense or nonsense, opening one more channel never makes a prediction smaller."""
    rng = np.random.default_rng(seed)
    layers = residual_network(2)
    points = spread_points(layers, 24, seed=seed)
    nonsense = rng.uniform(0.01, 3.0, len(points))
    found = fit(layers, points, nonsense, ClosedTimes({layer.name: rng.uniform(0, 1) for layer in layers}, 0.2, 4.0))
    table = LatencyTable(
        **{**table_of(layers)[1].__dict__, "rows": found.rows, "union_ms": found.union_ms, "other_ms": found.other_ms}
    )
    masks = {name: (rng.random((1, mask.shape[1])) < 0.5).astype(np.float32) for name, mask in points[0].items()}
    before = table.predict(layers, masks)[0]
    for name, mask in masks.items():
        for channel in np.flatnonzero(mask[0] == 0):
            more = {**masks, name: mask.copy()}
            more[name][0, channel] = 1.0
            assert table.predict(layers, more)[0] >= before - 1e-12


def test_round_trip(tmp_path):
    _, table = table_of(residual_network(2))
    table.save(tmp_path / "table.json")
    from sanp_runtime.latency.table import read_table

    again = read_table(tmp_path / "table.json")
    assert again == table
    masks = open_point(table.layers)
    assert again.predict(table.layers, masks)[0] == table.predict(table.layers, masks)[0]


def test_other_devices_networks_and_files_are_refused():
    _, table = table_of(residual_network(2))
    table.require_device("abc", "a formula")
    table.require_network(residual_network(2))
    with pytest.raises(ConfigError, match="measured on a formula"):
        table.require_device("xyz", "another machine")
    with pytest.raises(ConfigError, match=r"b2.a is 12 to 12.* here and missing in the latency table of synthetic"):
        table.require_network(residual_network(3))
    with pytest.raises(InputError, match=r"layer stem has 3 to 16 channels.*does not have"):
        table.costs(residual_network(2, width=16))
    with pytest.raises(InputError, match=r"no mask for b1\.b"):
        table.predict(table.layers, {name: mask for name, mask in open_point(table.layers).items() if name != "b1.b"})
    with pytest.raises(InputError, match="expected a latency-table"):
        LatencyTable.from_json({"kind": "profile"})
    with pytest.raises(InputError, match="format 1, expected 2: it was written by another release; measure it again"):
        LatencyTable.from_json({**table.to_json(), "schema_version": 1})
    with pytest.raises(InputError, match="no objects bundle, settings"):
        LatencyTable.from_json({**table.to_json(), "settings": []})
    broken = table.to_json()
    broken["rows"][0]["pair_ms"] = -1.0
    with pytest.raises(InputError, match="times from 0 on"):
        LatencyTable.from_json(broken)


def inverted_network(projections):
    """A stem and a block for each number, which is what its projection returns; all expand 8 channels to 24 at 8x8."""
    rows, blocks = [Layer("stem", 3, 8, (8, 8), (3, 3), support=Dense(3))], {}
    for index, width in enumerate(projections):
        gate, names = Gate(f"b{index}.expand"), [f"b{index}.{part}" for part in ("expand", "depthwise", "project")]
        rows.append(Layer(names[0], 8, 24, (8, 8), gated=True, gate_hidden=4, support=Dense(8)))
        rows.append(Layer(names[1], 24, 24, (8, 8), (3, 3), groups=24, support=gate, follows=gate))
        rows.append(Layer(names[2], 24, width, (8, 8), support=gate))
        blocks[f"{names[0]}/block"] = names
    return (*rows, Layer("head", 8, 5, (1, 1), head=True, support=Dense(8))), blocks


def block_ms(layers, blocks, point):
    """The expansion costs as much for each open channel as the projection returns channels; 4 ms for all others."""
    widths = {layer.name: layer.c_out for layer in layers}
    return 4.0 + sum(0.5 + 0.01 * widths[names[2]] * float(point[names[0]].sum()) for names in blocks.values())


def test_blocks_have_a_row_for_each_form_of_theirs():
    """Blocks that differ in what they return only are told apart; other networks of such blocks are predicted."""
    layers, blocks = inverted_network([8, 8, 16])
    points = spread_points(layers, 48)
    times = np.array([block_ms(layers, blocks, point) for point in points])
    closed = {names[0]: block_ms(layers, {"": names}, closed_point(layers)) - 4.0 for names in blocks.values()}
    found = fit(layers, points, times, ClosedTimes(closed, 0.0, 4.0 + sum(closed.values())), blocks)
    assert {row.layers for row in found.rows} == {
        ("stem",), ("b0.expand", "b1.expand"), ("b2.expand",), ("head",)
    }  # fmt: skip
    _, table = table_of(residual_network(1))
    table = LatencyTable.from_json(json.loads(json.dumps(replace(
        table, layers=layers, rows=found.rows, union_ms=found.union_ms, other_ms=found.other_ms, blocks=blocks
    ).to_json())))  # fmt: skip
    more, theirs = inverted_network([16, 8])
    masks = {name: np.concatenate([point[name] for point in points]) for name in ("b0.expand", "b1.expand")}
    wanted = [block_ms(more, theirs, point) for point in points]
    np.testing.assert_allclose(table.predict(more, masks, theirs), wanted, rtol=1e-3)
    with pytest.raises(InputError, match=r"b0\.expand has 8 to 24 channels, .* which the latency table"):
        table.predict(more, masks)
    apart = replace(table, rows=table_for(layers).rows, blocks={})
    assert apart.predict(layers, open_point(layers)) > 0
    with pytest.raises(InputError, match="in one node with 3x3 at 8x8 and a projection to 16 channels"):
        apart.predict(more, masks, theirs)
    assert "in one node with 3x3 at 8x8 and a projection to 8 channels" in str(found.rows[1].shape)
    for wrong in ({"x/block": ["b0.expand"]}, {"x/block": ["nobody"] * 3}):
        with pytest.raises(InputError, match="the block x/block of the latency table"):
            LatencyTable.from_json({**table.to_json(), "blocks": wrong})


def test_a_table_that_is_older_than_blocks_is_read_as_before():
    _, table = table_of(residual_network(1))
    row = table.to_json()
    del row["blocks"]
    for one in row["rows"]:
        del one["shape"]["fused"]
    assert LatencyTable.from_json(row) == table
