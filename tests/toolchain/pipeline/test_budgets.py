"""`sanp compile --budgets` from end to end: what a bundle promises of each budget is what its engine does."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sanp.cli.app import app
from sanp.pipeline.compile.budgets import times
from sanp.pipeline.compile.budgets.calibrate import check_loss
from sanp.pipeline.compile.budgets.rules import at_share, rules_of
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.compile.int8 import quantise
from sanp.pipeline.export import export
from sanp.pipeline.inspect import inspect
from sanp.pipeline.validate import validate
from sanp.settings.compile import CompileSettings
from sanp_runtime import load
from sanp_runtime.bundle.budgets import BudgetSetting
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, ValidationError
from tests.support.checkpoints import make_checkpoint

BUDGETS = (0.85, 0.6)


@pytest.fixture(scope="module", autouse=True)
def _short_timing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "_SECONDS", 0.05)
        yield


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("budgets")
    export(trained, folder / "model.onnx", samples=48)
    return folder / "model.onnx"


@pytest.fixture(scope="module")
def bundle(model):
    # Given in another order and with the trained one, which is always there.
    return compile_model(model, model.parent / "model.sanp", budgets=(0.6, 1.0, 0.85)).bundle


def test_every_budget_is_kept_and_measured(bundle):
    reference, rows = bundle.reference(), bundle.manifest.budgets
    assert [row.budget for row in rows] == [1.0, *BUDGETS] and rows[0].rule == "trained"
    with load(bundle.path) as engine:
        for row in rows:
            given, held = (engine(reference.x[start::2], budget=row.budget) for start in (0, 1))
            trained = engine(reference.x[::2]).macs.mean()
            assert row.budget - 0.05 < given.macs.mean() / trained <= row.budget + 1e-9
            assert row.macs == held.macs.mean()
            assert row.score == (held.classes() == reference.labels[1::2]).mean()
            assert row.same == (held.classes() == reference.logits[1::2].argmax(1)).mean()
            assert row.typical_ms > 0
    record = bundle.manifest.build["budgets"]
    assert (record["calibration_samples"], record["samples"], record["held_back"]) == (24, 24, True)
    assert record["measure"] == "accuracy" and record["timing"]["threads"] == 1


def test_the_dial_changes_no_bit_of_the_network_as_trained(model, bundle, tmp_path):
    x = bundle.reference().x
    plain = compile_model(model, tmp_path / "plain.sanp").bundle
    assert plain.manifest.budgets == () and "budgets" not in plain.manifest.build
    with load(plain.path) as one, load(bundle.path) as other:
        for results in (one(x), other(x)), (one(x), other(x, budget=1.0)):
            assert results[0].logits.tobytes() == results[1].logits.tobytes()
            assert all(results[0].gates[name].tobytes() == results[1].gates[name].tobytes() for name in one.gated)


def test_pytorch_closes_the_same_channels_at_these_thresholds(trained, bundle):
    from sanp import checkpoint
    from sanp.gating import gated_layers

    network, x = checkpoint.load(trained).model.eval(), bundle.reference().x
    layers = gated_layers(network)
    row = bundle.manifest.budgets[-1]
    with torch.no_grad():
        for name, level in row.thresholds.items():
            layers[name].gate.threshold.fill_(level)
        logits = network(torch.from_numpy(x)).numpy()
    with load(bundle.path) as engine:
        np.testing.assert_allclose(engine(x, budget=row.budget).logits, logits, rtol=1e-3, atol=1e-4)


def test_validation_has_a_level_for_every_budget(trained, bundle):
    result = validate(bundle.path, trained, limit=64)
    assert result.passed and [row.budget for row in result.budgets] == list(BUDGETS)
    assert list(result.levels())[-2:] == ["budget 0.85", "budget 0.6"]
    assert all(row.of_trained < row.budget + 0.1 for row in result.budgets)
    assert [row["budget"] for row in result.to_json()["budgets"]] == list(BUDGETS)


def test_the_command_says_what_every_budget_costs(model, bundle, tmp_path):
    runner = CliRunner()
    done = runner.invoke(app, ["compile", str(model), "-o", str(tmp_path / "one.sanp"), "--budgets", "[0.7]"])
    assert done.exit_code == 0 and "budget 0.7" in done.output
    shown = runner.invoke(app, ["inspect", str(bundle.path)])
    assert all(f"budget {budget:g}" in shown.output for budget in (1, *BUDGETS))
    found = inspect(bundle.path)
    assert [row["budget"] for row in found["budgets"]["settings"]] == [1.0, *BUDGETS]
    assert found["inputs"]["threshold.conv1.conv"] == [1]
    printed = runner.invoke(
        app, ["compile", str(model), "-o", str(tmp_path / "two.sanp"), "--budgets", "[0.7]", "--json"]
    )
    assert json.loads(printed.stdout)["record"]["budgets"]["settings"][1]["budget"] == 0.7


@pytest.mark.parametrize("method", ["fixed-k", "fbs"])
def test_gates_with_a_limit_have_a_dial_too(method, tmp_path):
    path = make_checkpoint(tmp_path / "checkpoint.safetensors", method=method, density=0.6)
    export(path, tmp_path / "model.onnx", samples=16)
    bundle = compile_model(tmp_path / "model.onnx", tmp_path / "model.sanp", budgets=(0.7,)).bundle
    assert bundle.manifest.build["budgets"]["held_back"] is False
    x = bundle.reference().x
    with load(bundle.path) as engine:
        assert engine(x, budget=0.7).macs.mean() <= 0.7 * engine(x).macs.mean()
    assert self_test(bundle.path).passed


def test_an_int8_bundle_has_a_dial(model, tmp_path, monkeypatch):
    machine = {"cpu_model": "a processor with VNNI", "isa": ["avx512_vnni", "avx512_vbmi2"]}
    monkeypatch.setattr(quantise, "processor", lambda: machine)
    bundle = compile_model(model, tmp_path / "int8.sanp", int8=True, max_drop=1.0, budgets=(0.7,)).bundle
    assert bundle.manifest.int8["byte_gates"], "no gate reads bytes"
    x = bundle.reference().x
    with load(bundle.path) as engine:
        assert engine(x, budget=0.7).macs.mean() < 0.8 * engine(x).macs.mean()
        assert engine(x, budget=1.0).logits.tobytes() == engine(x).logits.tobytes()
    assert self_test(bundle.path).passed


def largest(outputs, labels):
    """A metric that nobody would want, which accuracy cannot be taken for."""
    return float(outputs["logits"].max())


def test_a_metric_of_ones_own_judges(model, tmp_path):
    metric = f"{__name__}:{largest.__name__}"
    made = compile_model(model, tmp_path / "model.sanp", budgets=(0.8,), metric=metric).bundle
    row = made.manifest.budgets[1]
    with load(made.path) as engine:
        assert row.score == largest(engine(made.reference().x[1::2], budget=0.8).outputs, None)
    assert made.manifest.build["budgets"]["measure"] == metric


def test_what_is_refused(model, trained, tmp_path):
    with pytest.raises(ConfigError, match=r"budget 0\.0001: with every gate closed a sample still costs"):
        compile_model(model, tmp_path / "a.sanp", budgets=(0.0001,))
    for wrong in (0.0, 1.2, -0.5):
        with pytest.raises(ConfigError, match="--budgets has"):
            CompileSettings.checked(budgets=(wrong,))
    with pytest.raises(ConfigError, match="no budget dial"):
        compile_model(model, tmp_path / "b.sanp", target="jetson-orin-nano", budgets=(0.8,))
    export(trained, tmp_path / "none.onnx", samples=0)
    with pytest.raises(ConfigError, match="no samples came with the model"):
        compile_model(tmp_path / "none.onnx", tmp_path / "c.sanp", budgets=(0.8,))
    static = make_checkpoint(tmp_path / "static.safetensors", method="static")
    export(static, tmp_path / "static.onnx", samples=8)
    with pytest.raises(ConfigError, match="none of its gates depends on the image"):
        compile_model(tmp_path / "static.onnx", tmp_path / "d.sanp", budgets=(0.8,))
    assert not list(tmp_path.glob("?.sanp"))


@pytest.mark.parametrize("measure, scores", [("accuracy", (0.9, 0.85, 0.7)), ("change", (0.0, 0.05, 0.2))])
def test_a_budget_may_lose_so_much(measure, scores):
    rows = [
        BudgetSetting(budget, {"a": 0.0}, "by hand", 1.0, score, None, None)
        for budget, score in zip((1.0, *BUDGETS), scores)
    ]
    check_loss(rows, measure, None)
    check_loss(rows, measure, 0.2 + 1e-9)
    with pytest.raises(ValidationError, match=rf"the budget 0\.6 has {measure} {scores[2]:.4f}"):
        check_loss(rows, measure, 0.1)
    assert CompileSettings.checked(budgets=(0.7,), max_drop=0.1).max_drop == 0.1


def test_rules_start_at_the_trained_thresholds_and_end_with_everything_closed():
    rng = np.random.default_rng(0)
    scales = {
        name: np.maximum(rng.standard_normal((20, 8)) * size, 0.0).astype("f") for name, size in (("a", 1), ("b", 9))
    }
    trained = {"a": 0.0, "b": 0.25}
    for rule in rules_of(trained, scales, {"a": 1.0, "b": 4.0}).values():
        assert rule(0.0) == trained
        open_at = [sum((scales[name] > level).sum() for name, level in rule(at).items()) for at in (0.0, 0.1, 0.3, 1.0)]
        assert open_at == sorted(open_at, reverse=True) and open_at[-1] == 0
    half = at_share(np.sort(scales["a"][scales["a"] > 0]), 0.5, 0.0)
    opened = (scales["a"] > 0).sum()
    assert (scales["a"] > half).sum() == opened - round(0.5 * opened)
