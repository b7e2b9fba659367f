"""A table of a real bundle in the real kernels: it covers the network, and predicts what a profile measures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sanp_runtime.cli.app import main
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.latency.measure import measure_table, steadied
from sanp_runtime.latency.points import open_point
from sanp_runtime.latency.prediction import prediction
from sanp_runtime.latency.table import LatencyTable
from sanp_runtime.latency.text import prediction_lines, table_lines
from sanp_runtime.profile.profile import profile
from sanp_targets.errors import AccelerationError, ConfigError
from tests.support import tiny_net
from tests.support.tiny_bundle import make_reference


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
    with pytest.raises(ConfigError, match="batch = 2"):
        prediction(table, native_path, {**result, "settings": {**result["settings"], "batch": 2}})


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
        measure_table(pristine, EngineOptions(library=native_library), duration_s=0.05, points=8)


def test_the_command_of_a_board(native_path, tmp_path, capsys):
    path = tmp_path / "table.json"
    code = main(["table", str(native_path), "--duration", "0.1", "-o", str(path), "--json", "--allow-invalid"])
    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    assert LatencyTable.from_json(printed) == LatencyTable.from_json(json.loads(path.read_text()))
