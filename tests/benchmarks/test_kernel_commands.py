"""The benchmarks of the CPU kernels run, ask sessions for what the command line says, and refuse wrong answers."""

import json
import sys

import numpy as np
import pytest

from benchmarks.kernels import blocks, layers, nodes, pixels, weights
from benchmarks.networks import gate_share, gated, graphs, per_layer
from benchmarks.networks.shapes import Layer
from benchmarks.sessions import Library, require_close

pytestmark = pytest.mark.slow


@pytest.fixture
def run(monkeypatch, tmp_path, library):
    """Run a command with these words; its result file."""

    def call(module, *words):
        output = tmp_path / "results.json"
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words), "--json", str(output)])
        assert module.main() == 0
        written = json.loads(output.read_text())
        assert written["library"]["isa"] and len(written["library"]["sha256"]) == 64
        assert {"cpu_model", "isa", "python", "packages"} <= set(written["machine"])
        return written

    return call


def test_networks(run, capsys):
    (row,) = run(gated, "--rounds", 2, "--only", "cifar")["networks"]
    assert row["name"] == "m-cifarnet" and row["cost"] == pytest.approx(0.225, abs=0.005)
    for side in ("dense", "open", "gated"):
        assert 0 < row[side]["q1_us"] <= row[side]["median_us"] <= row[side]["q3_us"] and row[side]["n"] == 2
    assert row["speedup"] == pytest.approx(row["dense"]["median_us"] / row["gated"]["median_us"])
    assert row["efficiency"] == pytest.approx(row["speedup"] * row["cost"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("FMA ceiling", "dense", "all open", "of the MACs"))


@pytest.mark.parametrize(("options", "rows"), [((), 20), (("--apart",), 52)])  # 16 blocks of three
def test_per_layer(options, rows, run, capsys):
    found = run(per_layer, "--rounds", 2, "--only", "mobilenet-v2@96", *options)["networks"]["mobilenet-v2@96"]
    assert len(found["convs"]) == rows and found["convs"][0]["layer"] == "3-32 3x3/2 @96"
    for row in found["convs"]:  # a node that the profiler calls differently would have no time
        assert min(row["dense"], row["open"], row["kept"]) > 0, row["name"]
        assert 0 < row["macs_kept"] <= row["macs"]
    assert "3x3 depthwise" in capsys.readouterr().out


def test_blocks_are_timed_apart_and_fused(run, capsys):
    (row,) = run(blocks, "--rounds", 2, "--only", "mobilenet-v2@96 64-384-64")["blocks"]
    assert row["dense_us"] > 0 and [found["keep"] for found in row["kept"]] == [1.0, 0.5]
    assert all(found["apart_us"] > 0 and found["fused_us"] > 0 for found in row["kept"])
    assert "64-384-64 3x3 @6 +" in capsys.readouterr().out


def test_every_block_of_a_network_is_found_once():
    names = [name for name in blocks.distinct() if name.startswith("mobilenet-v2@96 ")]
    assert len(names) == 11 and len(set(names)) == 11  # 16 blocks, five of them like another one


def test_gate_share(run, capsys):
    (row,) = run(gate_share, "--rounds", 2, "--only", "mobilenet-v2@96")["networks"]
    assert row["gates"] == 17 and max(row["share"].values()) < 0.5  # a gate is no convolution
    assert "pooling" in capsys.readouterr().out


@pytest.mark.parametrize("isa", ["auto", "portable"])
def test_layers(run, isa, capsys):
    written = run(layers, "--rounds", 2, "--only", "128-192", "--isa", isa)
    (row,) = written["layers"]
    assert row["name"] == "128-192 3x3/2 @15" and row["networks"] == ["m-cifarnet"]
    assert [cell["keep"] for cell in row["gated"]] == list(layers.KEEPS)
    if isa == "portable":  # nobody knows how fast a compiler's code could be
        assert written["library"]["isa"] == "portable" and written["ceiling_gflops"] is None
        assert all(cell["of_ceiling"] is None for cell in row["gated"]) and "not measured" in capsys.readouterr().out
    elif written["ceiling_gflops"]:
        cell = row["gated"][0]
        assert cell["of_ceiling"] == pytest.approx(cell["gflops"] / written["ceiling_gflops"])


def test_pixels(run, capsys):
    written = run(pixels, "--rounds", 2, "--only", "128-192")
    (row,) = written["layers"]
    assert row["name"] == "128-192 3x3/2 @15" and written["parts"] == 4
    assert [cell["open"] for cell in row["gated"]] == pytest.approx(pixels.OPEN, abs=0.02)
    assert row["gated"][0]["macs"] == pytest.approx(0.25) and row["gated"][-1]["macs"] == pytest.approx(1)
    assert row["function"]["speedup"] == pytest.approx(row["dense"]["median_us"] / row["function"]["median_us"])
    assert "function" in capsys.readouterr().out


def test_nodes(run, monkeypatch):
    monkeypatch.setattr(nodes, "ROUNDS", 10)
    monkeypatch.setattr(nodes, "GATES", nodes.GATES[:1])
    rows = run(nodes)["nodes"]
    assert [row["node"] for row in rows] == ["Tanh", "SanpGatedConv", "SanpChannelGate"]


def test_weights(run, monkeypatch):
    monkeypatch.setattr(weights, "COLD_BYTES", 2 << 20)
    rows = run(weights, "layers", "--rounds", 2, "--only", "512-512 1x1 @2")["layers"]
    assert [(row["weights"], row["sessions"]) for row in rows] == [("cache", 1), ("memory", 4)]
    assert all(row["0.3 gain"] > 0 for row in rows)


def test_sessions_get_what_was_asked_for(library):
    """Winograd rounds differently, so the same layer with and without it differs, and only a little."""
    layer = Layer(64, 64, 32)
    rng = np.random.default_rng(0)
    model = graphs.gated_layer(layer, graphs.random_weights(layer, rng))
    ones = np.ones((1, 64), np.float32)
    feeds = {
        "x": rng.standard_normal((1, 64, 32, 32), dtype=np.float32),
        "scale": ones,
        "shift": 0 * ones,
        "active": ones,
    }
    made = Library(library, "portable")
    free, direct = (made.session(model, winograd=tile).run(None, feeds)[0] for tile in (None, 0))
    assert (free != direct).any()
    require_close("layer", free, direct)


def test_what_the_cpu_lacks_is_refused(library):
    with pytest.raises(SystemExit, match="altivec"):
        Library(library, "altivec")
    with pytest.raises(SystemExit, match=r"sanp\.winograd '3'"):
        Library(library).session(b"", winograd=3)
    with pytest.raises(SystemExit, match="does not exist, expected an operator library"):
        Library(library.with_name("absent.so"))


def test_a_wrong_answer_is_refused():
    right = np.array([1.0, -8.0])
    require_close("layer", right * (1 + 9e-5), right)
    for wrong in (right * (1 + 2e-4), right * np.nan):
        with pytest.raises(SystemExit, match="layer: relative error"):
            require_close("layer", wrong, right)
