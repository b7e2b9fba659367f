"""`compile --blocks`: blocks as one node each, from the bundle with its proof to the profile and what is said of it."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import sanp
from sanp.cli.app import app
from sanp.cost.latency import LatencyCounter
from sanp.gating import gated_layers
from sanp.pipeline.compile import blocks as compiled_blocks
from sanp.pipeline.compile.bf16_weights import round_small_maps, small_maps
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.inspect import inspect
from sanp.pipeline.profile import profile_bundle
from sanp.pipeline.report import report_bundle
from sanp.pipeline.tune import search
from sanp.report.sections.commands import engine_options
from sanp_export.passes.fuse_blocks import fuse_blocks
from sanp_runtime import load
from sanp_runtime.bundle.manifest_checks import check
from sanp_runtime.cli.app import main
from sanp_runtime.contract import GATED, GATED_CONV, INVERTED_RESIDUAL, OPEN, REPLAY
from sanp_runtime.latency.measure import measure_table
from sanp_runtime.latency.prediction import require_predictable
from sanp_runtime.profile.text import profile_lines
from sanp_targets.errors import AccelerationError, ConfigError, InputError

BLOCKS = {
    "first.expand/block": ("first.expand", "first.depthwise", "first.project"),
    "second.expand/block": ("second.expand", "second.depthwise", "second.project"),
}


def _layer(*arguments, **named):
    return nn.Conv2d(*arguments, bias=False, **named)


class Block(nn.Module):
    def __init__(self, c_in, c_out, kernel, stride):
        super().__init__()
        wide = 4 * c_in
        self.expand, self.norm1 = _layer(c_in, wide, 1), nn.BatchNorm2d(wide)
        self.depthwise = _layer(wide, wide, kernel, stride=stride, padding=kernel // 2, groups=wide)
        self.norm2, self.norm3 = nn.BatchNorm2d(wide), nn.BatchNorm2d(c_out)
        self.project, self.added = _layer(wide, c_out, 1), stride == 1 and c_in == c_out

    def forward(self, x):
        y = nn.functional.relu6(self.norm2(self.depthwise(nn.functional.relu6(self.norm1(self.expand(x))))))
        y = self.norm3(self.project(y))
        return x + y if self.added else y


class Small(nn.Module):
    """A stem, two blocks, a last convolution."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = _layer(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.first, self.second = Block(8, 8, 3, 1), Block(8, 12, 5, 2)
        self.last, self.head = nn.Conv2d(12, 32, 1), nn.Linear(32, 10)

    def forward(self, x):
        x = self.second(self.first(torch.relu(self.norm(self.stem(x)))))
        return self.head(torch.relu(self.last(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The exported model, with samples."""
    torch.manual_seed(2)
    net = Small()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -0.3, 0.5)
    images = torch.randn(16, 3, 16, 16)
    path = tmp_path_factory.mktemp("blocks") / "model.onnx"
    gated = sanp.gate(net, images[:2], layers="inner", standardise=False).eval()
    for layer in gated_layers(gated).values():
        last = [parameter for parameter in layer.gate.parameters() if parameter.dim() == 1][-1]
        nn.init.normal_(last, 0.1, 0.7)
    sanp.export(gated, path, example_input=images[:2], images=images)
    return path


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    return compile_model(model, tmp_path_factory.mktemp("fused") / "fused.sanp")


@pytest.fixture(scope="module")
def apart(model, tmp_path_factory):
    return compile_model(model, tmp_path_factory.mktemp("apart") / "apart.sanp", blocks="apart")


def test_blocks_run_as_one_node_and_prove_their_layers(made, apart):
    manifest = made.bundle.manifest
    assert manifest.blocks == BLOCKS and not apart.bundle.manifest.blocks
    assert (
        engine_options(manifest.to_json()) == ""
        and engine_options(apart.bundle.manifest.to_json()) == " --blocks apart"
    )
    assert apart.bundle.manifest.layers == manifest.layers and apart.bundle.manifest.dense_macs == manifest.dense_macs
    nodes = made.proof.gated_nodes
    assert {name: op for name, op in nodes.items() if op == INVERTED_RESIDUAL} == dict.fromkeys(
        BLOCKS, INVERTED_RESIDUAL
    )
    assert {name for name, op in nodes.items() if op == GATED_CONV} == {"stem/conv", "last/conv"}
    assert set(apart.proof.gated_nodes) > {"first.depthwise/conv", "first.expand/conv"}
    x = made.bundle.reference().x
    masks = {name: (np.arange(manifest.layer(name).c_out) % 3 > 0).astype("f")[None] for name in manifest.gated}
    for variant in (GATED, OPEN, REPLAY):
        with (
            load(made.bundle.path, variant=variant) as fused,
            load(apart.bundle.path, variant=variant) as three,
            load(made.bundle.path, variant=variant, library=None) as body,
        ):
            assert fused.proof().passed and not body.proof().passed
            expected = three(x, masks)
            for engine in (fused, body):
                found = engine(x, masks)
                np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
                np.testing.assert_array_equal(found.macs, expected.macs)
                for name, scale in expected.gates.items():
                    np.testing.assert_allclose(found.gates[name], scale, rtol=1e-5, atol=1e-6)


def test_every_setting_goes_with_blocks(model, tmp_path, monkeypatch):
    """A layer inside of a block has no kernel to choose; a budget has the times of what runs."""
    monkeypatch.setattr(search, "_HEAT_ROUNDS", 1)
    monkeypatch.setattr(search, "_ROUNDS", 2)
    made = compile_model(model, tmp_path / "all.sanp", tune=True, bf16_weights=True, budgets=[0.8])
    manifest = made.bundle.manifest
    assert manifest.blocks == BLOCKS and manifest.rounded and manifest.budgets
    assert set(manifest.options["tuning"]["layers"]) <= {"stem", "last"}
    with load(made.bundle.path) as engine:
        assert INVERTED_RESIDUAL in engine.proof().gated_nodes.values()
        assert engine(made.bundle.reference().x, budget=0.8).macs.mean() < engine(made.bundle.reference().x).macs.mean()


def test_weights_in_blocks_keep_their_32_bits(tmp_path):
    torch.manual_seed(2)
    images, path = torch.randn(4, 3, 8, 8), tmp_path / "m.onnx"
    gated = sanp.gate(Small(), images[:2], layers="inner", standardise=False).eval()
    sanp.export(gated, path, example_input=images[:2], images=images)
    made = compile_model(path, tmp_path / "m.sanp", bf16_weights=True)
    small = set(small_maps(made.bundle.manifest.layers))
    assert small == {"stem", "first.expand", "second.expand", "last"}
    assert set(made.bundle.manifest.rounded) == {"stem", "last"}
    with pytest.raises(ConfigError, match=r"outside of a fused block.*--blocks apart"):
        round_small_maps(onnx.load(path), None, small)


def test_a_variant_that_lacks_a_block_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_blocks, "fuse_blocks", lambda graph, nodes: fuse_blocks(graph, sorted(nodes)[1:]))
    with pytest.raises(AccelerationError, match=r"1 inverted residual blocks.* the 2 of variant 'gated'.*apart"):
        compile_model(model, tmp_path / "m.sanp")


def test_images_of_any_size(tmp_path):
    torch.manual_seed(2)
    images = torch.randn(4, 3, 16, 16)
    gated = sanp.gate(Small(), images[:2], layers="inner", standardise=False).eval()
    sanp.export(gated, tmp_path / "m.onnx", example_input=images[:2], images=images, dynamic_size=True)
    made = compile_model(tmp_path / "m.onnx", tmp_path / "m.sanp")
    assert made.bundle.manifest.blocks == BLOCKS
    x = torch.randn(2, 3, 31, 20)
    with load(made.bundle.path) as engine, torch.no_grad():
        np.testing.assert_allclose(engine(x.numpy()).logits, gated(x).numpy(), rtol=1e-4, atol=1e-5)


def test_where_the_setting_is_refused(model, tmp_path):
    with pytest.raises(ConfigError, match="--int8 with --blocks"):
        compile_model(model, tmp_path / "m.sanp", int8=True, blocks="apart")
    with pytest.raises(ConfigError, match="expected no setting for ONNX Runtime; leave out --blocks"):
        compile_model(model, tmp_path / "m.sanp", target="jetson-orin-nano", blocks="apart")


@pytest.mark.parametrize(
    "blocks",
    [
        {"first.expand/block": ["first.expand", "first.depthwise"]},
        {"first.depthwise/block": ["first.depthwise", "first.expand", "first.project"]},
        {"other/block": ["first.expand", "first.depthwise", "first.project"]},
        {"first.expand/block": ["first.expand", "second.depthwise", "first.project"]},
        {"first.expand/block": ["first.expand", "first.depthwise", "nobody"]},
        {"first.expand/block": ["first.expand", "first.depthwise", "first.expand"]},
        {"first.expand/block": ["first.expand", "first.depthwise", "last"]},
        {"first.expand/block": ["first.expand", "first.depthwise", ["first.project"]]},
        {"first.expand/block": "first.expand"},
        [],
    ],
)
def test_a_manifest_that_contradicts_itself(made, blocks):
    manifest = made.bundle.manifest
    with pytest.raises(InputError, match=r"build\.blocks"):
        check(replace(manifest, build={**manifest.build, "blocks": blocks}))


def test_a_block_is_one_row_wherever_its_time_is_shown(made, tmp_path):
    path, titles = made.bundle.path, ["first (expand, depthwise, project)", "second (expand, depthwise, project)"]
    note = "2 inverted residual blocks are one node each"
    found = profile_bundle(path, output=tmp_path / "p.json", duration=0.1, allow_invalid=True)
    rows = {row["name"]: row for row in found["layers"]}
    assert list(rows) == ["stem", *titles, "last", "head"]
    table = made.bundle.manifest.layers
    assert sum(row["macs_dense"] for row in rows.values()) == made.bundle.manifest.dense_macs
    assert [name for row in found["layers"] for name in row["layers"]] == [layer.name for layer in table]
    for title in titles:
        row = rows[title]
        assert min(row["dense_ms"], row["open_ms"], row["gated_ms"], row["gate_ms"]) > 0
        assert 0 < row["open_fraction"] < 1 and row["gated"] and row["macs_gated"] < row["macs_dense"]
    assert {row["layer"] for row in found["gates"]} == set(made.bundle.manifest.gated)
    assert {row["layer"] for row in found["gap"]["layers"]} <= set(rows)
    assert any(line.startswith(note) for line in profile_lines(found))
    text = report_bundle(path, tmp_path / "report", profile=tmp_path / "p.json").read_text()
    assert all(title in text for title in titles) and "8 → 32 → 12, 5×5" in text
    about = inspect(path)
    assert about["about"]["blocks"].startswith(note)
    assert {row["name"]: row["block"] for row in about["layers"]}["second.project"] == "second.expand/block"
    shown = CliRunner().invoke(app, ["inspect", str(path)])
    assert shown.exit_code == 0 and note in shown.output
    assert main(["info", str(path)]) == 0


def test_a_table_of_layers_apart_is_refused(made, apart):
    table = measure_table(made.bundle.path, duration_s=0.1, points=24)
    assert ("first.expand",) in {row.layers for row in table.rows} and table.blocks == BLOCKS
    scales = made.bundle.reference().scales
    assert (table.predict(table.layers, scales, table.blocks) > 0).all()
    require_predictable(table, made.bundle.path, threads=1, batch=1)
    with pytest.raises(InputError, match="and compiled alike"):
        require_predictable(table, apart.bundle.path, threads=1, batch=1)
    assert LatencyCounter(table.layers, table).dense == table.dense_ms


def test_the_self_test_passes(made):
    assert main(["self-test", str(made.bundle.path)]) == 0


def test_gates_that_keep_blocks_apart_are_named(made, tmp_path):
    assert "blocks_apart" not in made.record
    images = torch.randn(2, 3, 16, 16)
    sanp.export(sanp.gate(Small(), images).eval(), tmp_path / "all.onnx", example_input=images)
    record = compile_model(tmp_path / "all.onnx", tmp_path / "all.sanp").record
    assert record["blocks_apart"] == ["first.project", "second.project"]
    done = CliRunner().invoke(app, ["compile", str(tmp_path / "all.onnx"), "-o", str(tmp_path / "b.sanp")])
    assert "2 inverted residual blocks run layer by layer" in done.stdout and "layers=inner" in done.stdout
    quiet = compile_model(tmp_path / "all.onnx", tmp_path / "apart.sanp", blocks="apart")
    assert "blocks_apart" not in quiet.record
