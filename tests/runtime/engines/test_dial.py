"""The budget dial of an engine: results against NumPy, the bits at budget 1, bound calls, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from sanp_runtime import load
from sanp_runtime.bundle.manifest import CHECKSUM, checksum
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.cli import main
from sanp_runtime.network.macs import sample_macs
from sanp_runtime.profile.profile import profile
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, InputError
from tests.support import tiny_net
from tests.support.tiny_bundle import BUDGETS, budget_record, fill

X = tiny_net.samples(6)
LOW = 0.6


@pytest.fixture(scope="module")
def dial_path(native_library, tmp_path_factory):
    path = tmp_path_factory.mktemp("dial") / "tiny.sanp"
    with BundleWriter(path) as writer:
        fill(writer, native_library, budgets=True)
    return path


def expected(budget):
    return tiny_net.reference(tiny_net.weights(), X, thresholds=BUDGETS[budget])


@pytest.mark.parametrize("kernels", [True, False], ids=["kernels", "functions"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_a_call_equals_numpy_at_these_thresholds(dial_path, kernels, budget):
    with load(dial_path, **({} if kernels else {"library": None})) as engine:
        result = engine(X, budget=budget)
    answers = expected(budget)
    np.testing.assert_allclose(result.logits, answers["logits"], rtol=1e-4, atol=1e-4)
    for layer in tiny_net.GATED:
        np.testing.assert_array_equal(result.gates[layer] != 0, answers[f"scale/{layer}"] != 0)
    masks = {layer: answers[f"scale/{layer}"] for layer in tiny_net.GATED}
    np.testing.assert_array_equal(result.macs, sample_macs(tiny_net.LAYERS, masks))


def test_budget_one_has_the_bits_of_a_bundle_without_a_dial(dial_path, native_path):
    with load(native_path) as plain, load(dial_path) as dial:
        first, turned = plain(X), dial(X, budget=LOW)
        assert turned.macs.mean() < 0.9 * first.macs.mean()
        dial.budget = LOW
        for result in (dial(X, budget=1), dial(X, budget=1.0)):
            assert result.logits.tobytes() == first.logits.tobytes()
            assert all(result.gates[name].tobytes() == first.gates[name].tobytes() for name in first.gates)
        assert plain(X, budget=1).logits.tobytes() == first.logits.tobytes()


def test_a_bound_call_is_turned_in_place(dial_path):
    with load(dial_path) as engine:
        low, high = engine(X, budget=LOW).logits, engine(X).logits
        call, other = engine.bind(X), engine.bind(X, outputs=("gate.stem", "logits"), budget=LOW)
        assert (call.budget, other.budget) == (1.0, LOW)
        for budget, logits in ((1.0, high), (LOW, low), (LOW, low), (1.0, high), (LOW, low)):
            call.budget = budget
            assert call().tobytes() == logits.tobytes() and call.budget == budget
        other()
        assert other.outputs["logits"].tobytes() == low.tobytes(), "every call has a dial of its own"
        with pytest.raises(InputError, match=r"0\.5 is not in tiny"):
            call.budget = 0.5
        assert call.budget == LOW and call().tobytes() == low.tobytes()
        call.input[...] = X[::-1]
        call.update()
        np.testing.assert_allclose(call(), low[::-1], rtol=1e-5, atol=1e-5)


def test_the_engine_has_a_budget_for_calls_that_name_none(dial_path):
    with load(dial_path) as engine:
        high, low = engine(X).logits, engine(X, budget=LOW).logits
        assert engine.budget == 1.0
        engine.budget = LOW
        assert engine(X).logits.tobytes() == engine.bind(X)().tobytes() == low.tobytes()
        assert engine(X, budget=1.0).logits.tobytes() == high.tobytes()
        assert engine.proof().passed and engine.node_times([X[:1]])
        with pytest.raises(InputError, match=r"expected one of 1, 0\.6"):
            engine.budget = 0.7
        assert engine.budget == LOW


@pytest.mark.parametrize("budget", [0.7, 0.0, -1, float("nan"), "0.6", True, None])
def test_other_budgets_are_refused(dial_path, budget):
    with load(dial_path) as engine, pytest.raises(InputError, match="budget"):
        engine.budget = budget


def test_variants_and_bundles_without_a_dial(dial_path, native_path):
    for variant in ("open", "replay", "dense"):
        with load(dial_path, variant=variant) as engine, pytest.raises(InputError, match=f"to the {variant} variant"):
            engine(X, budget=LOW)
    with load(native_path) as engine, pytest.raises(InputError, match="compiled without budgets"):
        engine(X, budget=LOW)


def edited(path, folder, change):
    """A copy of a bundle whose `build` was changed, with the checksum of that."""
    copy = shutil.copytree(path, folder / "edited.sanp")
    row = json.loads((copy / "manifest.json").read_text())
    change(row["build"])
    row[CHECKSUM] = checksum(row)
    (copy / "manifest.json").write_text(json.dumps(row))
    return copy


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda row: row["settings"].pop(0), "falling ones from 1.0"),
        (lambda row: row["settings"].reverse(), "falling ones"),
        (lambda row: row["settings"][1].update(budget=0), "falling ones"),
        (lambda row: row["settings"][1]["thresholds"].pop("stem"), "same gated layers"),
        (lambda row: [item["thresholds"].update(head=0.5) for item in row["settings"]], "same gated layers"),
        (lambda row: row["settings"][1]["thresholds"].update(stem="high"), "thresholds.stem is 'high'"),
        (lambda row: row["settings"][1].update(more=1), "has the keys"),
        (lambda row: row.update(settings={}), "settings is {}"),
        (lambda row: row.update(settings=[]), "falling ones"),
        (lambda row: row.pop("measure"), "has no measure"),
    ],
)
def test_a_contradictory_record_is_refused(dial_path, tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        load(edited(dial_path, tmp_path, lambda build: change(build["budgets"])))


def test_a_graph_without_the_inputs_is_refused(native_path, tmp_path):
    path = edited(native_path, tmp_path, lambda build: build.update(budgets=budget_record()))
    with pytest.raises(InputError, match=r"has no threshold\.stem"):
        load(path)


def test_the_self_test_compares_every_budget_with_standard_operators(dial_path):
    result = self_test(dial_path)
    assert result.passed and [row.budget for row in result.budgets] == [LOW]
    row = result.to_json()["budgets"][0]
    assert row["decisions"] == 6 * 24 and row["mismatch"] == 0 and 0 < row["of_trained"] < 0.9
    assert any(line.startswith("budget 0.6: PASS") for line in result.lines())


def test_the_command_line_runs_and_measures_budgets(dial_path, capsys):
    assert main(["run", str(dial_path), "--budget", "0.6", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    with load(dial_path) as engine:
        assert row["budget"] == LOW and row["macs"] == engine(X, budget=LOW).macs.tolist()
    assert main(["run", str(dial_path), "--budget", "0.5"]) == 2
    assert "0.5 is not in tiny" in capsys.readouterr().err
    assert main(["info", str(dial_path)]) == 0
    assert "budget 0.6" in capsys.readouterr().out
    measured = ["--budget", "0.6", "--budgets", "--duration", "0.05", "--allow-invalid"]
    assert main(["profile", str(dial_path), *measured]) == 0
    assert "budget 0.6" in capsys.readouterr().out


def test_a_profile_at_a_budget(dial_path, native_path):
    result = profile(dial_path, duration_s=0.05, budget=LOW, budgets=True).to_json()
    with load(dial_path) as engine:
        low, high = (float(engine(X, budget=budget).macs.mean()) for budget in (LOW, 1.0))
    assert result["settings"]["budget"] == LOW and result["macs"]["gated_mean"] == low
    assert [(row["budget"], row["macs"]) for row in result["budgets"]] == [(1.0, high), (LOW, low)]
    assert all(row["typical_ms"] > 0 for row in result["budgets"])
    plain = profile(native_path, duration_s=0.05, budget=1.0).to_json()
    assert plain["budgets"] == [] and plain["settings"]["budget"] is None
    with pytest.raises(ConfigError, match="has no budgets to measure"):
        profile(native_path, duration_s=1e6, budgets=True)
