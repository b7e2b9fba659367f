"""A table of a real bundle in the real kernels: it covers the network, and predicts what a profile measures."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest

from sanp_runtime.bundle.reader import Bundle, open_bundle
from sanp_runtime.cli.app import main
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.latency.measure import measure_table, steadied
from sanp_runtime.latency.points import open_point
from sanp_runtime.latency.prediction import prediction, require_predictable
from sanp_runtime.latency.table import LatencyTable, read_table
from sanp_runtime.latency.text import prediction_lines, table_lines
from sanp_runtime.profile.profile import profile
from sanp_targets.controls import held
from sanp_targets.errors import AccelerationError, ConfigError, InputError
from sanp_targets.power_mode import power_mode
from tests.fakes import jetson_tools
from tests.support import tiny_net
from tests.support.tiny_bundle import make_reference
from tests.targets.conftest import JETSON, plant


@pytest.fixture(scope="module")
def table(native_path):
    return measure_table(native_path, duration_s=0.3, points=24)


def test_a_table_covers_its_network_and_names_its_device(table):
    assert table.layers == tiny_net.LAYERS
    assert sorted(name for row in table.rows for name in row.layers) == sorted(row.name for row in tiny_net.LAYERS)
    assert len(table.points) == 24 and table.error["points"] == 6
    predicted = table.predict(tiny_net.LAYERS, open_point(tiny_net.LAYERS))[0]
    assert predicted == pytest.approx(table.points[0]["predicted_ms"], rel=1e-4)
    # A network of a few microseconds on a machine that runs other tests: the order of magnitude is all that holds.
    assert 0.3 < predicted / table.open_ms < 3
    assert LatencyTable.from_json(json.loads(json.dumps(table.to_json()))) == table
    assert len(table_lines(table.to_json())) == len(table.rows) + 4


def test_a_profile_is_predicted(table, native_path):
    result = profile(native_path, duration_s=0.05).to_json()
    found = prediction(table, native_path, result)
    wanted = table.predict(tiny_net.LAYERS, make_reference().scales)
    assert found["predicted_ms"] == pytest.approx(wanted.mean())
    assert found["measured_ms"] == pytest.approx(result["variants"]["gated"]["typical_ms"])
    assert found["error"] == pytest.approx(found["predicted_ms"] / found["measured_ms"] - 1)
    assert (1 + found["error"]) * found["dense_ratio"] == pytest.approx(1 + found["error_at_dense_speed"])
    assert "predicted by the table of tiny" in prediction_lines({"prediction": found})[0] and not prediction_lines({})
    with pytest.raises(ConfigError, match=r"measured on .* this is"):
        prediction(table, native_path, {**result, "device_id": "other", "device_name": "another machine"})
    mode = {**(result["power_mode"] or {}), "name": "15W"}
    for changed, sentence in (
        ({"settings": {**result["settings"], "batch": 2}}, "batch = 2 here and batch = 1 in the latency table of tiny"),
        ({"library": {**result["library"], "isa": "portable"}}, "isa = portable here and isa = "),
        ({"power_mode": mode}, "power_mode = 15W here and power_mode = None"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            prediction(table, native_path, {**result, **changed})
    assert table.settings["isa"] == result["library"]["isa"] and table.settings["precision"] == "fp32"


def test_what_cannot_be_predicted_is_told_before_a_profile(table, native_path):
    bundle = open_bundle(native_path)
    require_predictable(table, bundle, threads=1, batch=1)
    with pytest.raises(ConfigError, match="threads = 2 here and threads = 1"):
        require_predictable(table, bundle, threads=2, batch=1)
    manifest = bundle.manifest
    for build, precision in (
        ({"precision": "int8"}, "int8"),
        ({"bf16_weights": {"layers": {"stem": 0.001}}}, "fp32, bf16 weights"),
    ):
        other = Bundle(bundle.path, replace(manifest, build=build))
        with pytest.raises(ConfigError, match=f"precision = {precision} here and precision = fp32"):
            require_predictable(table, other, threads=1, batch=1)
    wider = [replace(row, kernel=(5, 5)) if row.name == "block.a" else row for row in manifest.layers]
    with pytest.raises(InputError, match=r"block\.a has .*5x5.*does not have"):
        require_predictable(table, Bundle(bundle.path, replace(manifest, layers=tuple(wider))), threads=1, batch=1)
    plain = replace(manifest, variants={"dense": manifest.variants["dense"]})
    with pytest.raises(ConfigError, match="has no gates"):
        require_predictable(table, Bundle(bundle.path, plain), threads=1, batch=1)


def test_there_are_as_many_points_as_the_fit_needs(native_path, monkeypatch):
    with pytest.raises(InputError, match="11 masks were given for the 4 terms"):
        measure_table(native_path, duration_s=0.05, points=11)
    monkeypatch.setattr("sanp_runtime.latency.measure.POINTS", 10)
    assert len(measure_table(native_path, duration_s=0.05).points) == 12


def test_power_mode_and_clocks_are_held_and_set_back(native_path, tmp_path, monkeypatch, capsys):
    """On the tree of a Jetson, as for a profile; the table says which mode it is of."""
    root = plant(tmp_path / "root", JETSON)
    jetson_tools.install(tmp_path / "tools", root, monkeypatch)
    monkeypatch.setattr("sanp_runtime.latency.measure.held", functools.partial(held, root=root))
    path = tmp_path / "table.json"
    flags = ["--duration", "0.05", "--power-mode", "MAXN_SUPER", "--fix-clocks", "--allow-invalid", "-o", str(path)]
    assert main(["table", str(native_path), *flags]) == 0
    shown = capsys.readouterr().out
    assert "power mode: MAXN_SUPER\nclocks fixed by jetson_clocks for the measurement\nverdict: " in shown
    found = read_table(path)
    assert found.settings["power_mode"] == "MAXN_SUPER"
    assert found.controls == {"clocks_fixed_by": "jetson_clocks", "not_restored": []}
    assert power_mode(root) == "15W" and jetson_tools.calls(root)[-2:] == ["jetson_clocks --restore", "nvpmodel -m 0"]


def test_slow_rounds_are_corrected():
    """The machine runs at half its speed in a third of the rounds, and the points keep their times."""
    true, pace = np.array([1.0, 3.0, 0.5]), np.array([1.0, 2.0, 1.0, 1.0, 2.0, 1.0])
    constant = np.tile([[2.0, 2.2, 1.8]], (6, 1))
    np.testing.assert_allclose(steadied(pace[:, None] * true, pace[:, None] * constant), true)


def test_slow_kernels_are_no_table(pristine, native_library, monkeypatch):
    from sanp_runtime.engines.onnxruntime.engine import OnnxEngine

    nodes = OnnxEngine.node_times
    monkeypatch.setattr(
        OnnxEngine, "node_times", lambda self, *args, **more: [r for r in nodes(self, *args, **more) if r.op == "Gemm"]
    )
    with pytest.raises(AccelerationError):
        measure_table(pristine, EngineOptions(library=native_library), duration_s=0.05, points=12)


def test_the_command_of_a_board(native_path, tmp_path, capsys):
    path = tmp_path / "table.json"
    code = main(["table", str(native_path), "--duration", "0.1", "-o", str(path), "--json", "--allow-invalid"])
    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    assert LatencyTable.from_json(printed) == LatencyTable.from_json(json.loads(path.read_text()))
