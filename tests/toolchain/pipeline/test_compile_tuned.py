"""`sanp compile --tune` from end to end; which algorithm is fastest is the machine's business and never asserted."""

import functools
import json

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from sanp.cli.app import app
from sanp.pipeline.compile import onnxruntime as compiling
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.tune import record as compiling_tuned
from sanp.pipeline.tune.race import PlanRace
from sanp_export.graph import model_file
from sanp_export.variants import variants
from sanp_runtime import load
from sanp_runtime.engines.onnxruntime.library import OpLibrary, find_library
from sanp_runtime.profile.profile import profile
from sanp_runtime.profile.tuning_note import tuning_note
from sanp_runtime.validate import self_test
from sanp_targets.device import fingerprint
from sanp_targets.errors import ConfigError, MeasurementError


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    export(trained, folder / "model.onnx", samples=12)
    return folder / "model.onnx"


class LastWins:
    """A clock for which the last algorithm of every plan is fastest: the tuned bundle then differs in every layer."""

    def __init__(self, model, feeds, library):
        self.model, self.feeds = model, feeds

    def layers(self, plans, rounds):
        names = [node.name.rpartition("/")[0] for node in self.model.graph.node if node.op_type == "SanpGatedConv"]
        return [{name: np.full(rounds, 1.0 - 0.1 * (name in plan) * i) for name in names} for i, plan in ranked(plans)]

    def network(self, plans, rounds):
        return [np.full(rounds, 1.0 - 0.1 * bool(plan)) for plan in plans]


def ranked(plans):
    return [(index + 1 if plan else 0, plan) for index, plan in enumerate(plans)]


def algorithms_in(path):
    return {
        node.name.rpartition("/")[0]: attribute.s.decode()
        for node in onnx.load(path, load_external_data=False).graph.node
        for attribute in node.attribute
        if attribute.name == "algorithm"
    }


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    """Tuned with `LastWins`, so that every layer has a hint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "tune", functools.partial(compiling_tuned.tune, race=LastWins))
        return compile_model(model, tmp_path_factory.mktemp("bundle") / "model.sanp", tune=True).bundle


def test_hints_land_in_every_gated_graph_and_in_the_manifest(bundle):
    record = bundle.manifest.options["tuning"]
    assert set(record["algorithms"]) == set(bundle.manifest.gated)
    for name in ("gated", "open", "replay"):
        assert algorithms_in(bundle.variant(name)) == record["algorithms"]
    assert not algorithms_in(bundle.variant("dense"))
    library = OpLibrary(find_library())
    assert record["machine"] == {
        "arch": fingerprint()["arch"], "cpu_model": fingerprint()["cpu_model"], "isa": library.isa
    }  # fmt: skip
    assert (record["threads"], record["batch"], record["inputs"], record["kept"]) == (1, 1, "reference.npz", True)
    for name, row in record["layers"].items():
        assert row["fastest"] == record["algorithms"][name] != row["model"]
        assert row["fastest_ms"] < row["model_ms"] and {row["model"], row["fastest"]} <= set(row["tried_ms"])
        assert "gather" not in row["tried_ms"]


def test_answers_are_those_of_the_untuned_bundle(model, bundle, tmp_path):
    plain = compile_model(model, tmp_path / "plain.sanp").bundle
    assert not algorithms_in(plain.variant("gated")) and "tuning" not in plain.manifest.options
    assert self_test(bundle).passed
    x = bundle.reference().x
    for name in ("gated", "open", "replay"):
        with load(plain.path, variant=name) as one, load(bundle.path, variant=name) as other:
            expected, found = one(x).logits, other(x).logits
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
            assert not np.array_equal(found, expected), "other kernels leave a trace"


def test_another_instruction_set_and_plain_onnx_runtime_take_the_same_file(bundle):
    reference = bundle.reference()
    for options in ({"isa": "portable"}, {"library": None}, {"threads": 2}):
        with load(bundle.path, **options) as engine:
            np.testing.assert_allclose(engine(reference.x).logits, reference.logits, rtol=2e-5, atol=2e-4)


def test_the_real_race_end_to_end(model, tmp_path):
    path = tmp_path / "real.sanp"
    run = CliRunner().invoke(app, ["compile", str(model), "-o", str(path), "--tune"])
    assert run.exit_code == 0, run.output
    assert "Kernels tuned on" in run.output and "cost model" in run.output
    shown = CliRunner().invoke(app, ["inspect", str(path), "--json"])
    record = json.loads(shown.stdout)["tuning"]
    assert "Kernels tuned on" in CliRunner().invoke(app, ["inspect", str(path)]).output
    assert algorithms_in(path / "gated.onnx") == record["algorithms"]
    assert all(0 < ms < 1000 for row in record["layers"].values() for ms in row["tried_ms"].values())
    assert self_test(path).passed


def test_without_answers_random_masks_drive_the_graph_whose_scales_are_masks(trained, tmp_path, monkeypatch):
    export(trained, tmp_path / "model.onnx", samples=0)
    made = []

    def keep(*arguments):
        made.append(LastWins(*arguments))
        return made[-1]

    monkeypatch.setattr(compiling, "tune", functools.partial(compiling_tuned.tune, race=keep))
    bundle = compile_model(tmp_path / "model.onnx", tmp_path / "model.sanp", tune=True).bundle
    assert bundle.manifest.options["tuning"]["inputs"] == "random, 50% of the channels open"
    assert algorithms_in(bundle.variant("gated"))
    gates = [node for node in made[0].model.graph.node if node.op_type == "SanpChannelGate"]
    masks = np.concatenate([v.ravel() for row in made[0].feeds for k, v in row.items() if k.startswith("mask.")])
    assert not gates and set(np.unique(masks)) == {0, 1} and 0.45 < masks.mean() < 0.55
    assert {name for row in made[0].feeds for name in row} >= {f"mask.{name}" for name in bundle.manifest.gated}


def test_a_race_needs_our_kernels(model):
    proto = variants(model_file.read(model))["gated"]
    feeds = [{"input": np.zeros((1, 3, 32, 32), np.float32)}] * 3
    names = {node.name.rpartition("/")[0] for node in proto.graph.node if node.op_type == "SanpGatedConv"}
    times = PlanRace(proto, feeds, find_library()).layers([{}, dict.fromkeys(names, "rows"), {}], 2)
    assert [set(row) for row in times] == [names] * 3
    assert all(row.shape == (2,) and (row > 0).all() for plan in times for row in plan.values())
    totals = PlanRace(proto, feeds, find_library()).network([{}, {}], 4)
    assert [row.shape for row in totals] == [(4,)] * 2 and all((row > 0).all() for row in totals)
    with pytest.raises(MeasurementError, match="expected 25 calls of each gated convolution"):
        PlanRace(proto, feeds, None).layers([{}, {}], 2)


@pytest.mark.parametrize("target", ["x86-cuda", "jetson-orin-nano"])
def test_tensorrt_targets_refuse_it(model, tmp_path, target):
    with pytest.raises(ConfigError, match="leave out --tune"):
        compile_model(model, tmp_path / "model.sanp", target=target, tune=True)
    line = ["compile", str(model), "-o", str(tmp_path / "model.sanp"), "--target", target, "--tune"]
    assert CliRunner().invoke(app, line).exit_code != 0
    assert not (tmp_path / "model.sanp").exists()


def test_another_machine_is_told(bundle):
    options, device, isa = bundle.manifest.options, fingerprint(), OpLibrary(find_library()).isa
    assert tuning_note(options, device, isa) is None and tuning_note(options, device, None) is None
    assert tuning_note({}, device, isa) is None
    other = tuning_note(options, {**device, "cpu_model": "Cortex-A76"}, isa)
    assert "this is Cortex-A76" in other and "compile with --tune" in other
    assert "(neon)" in tuning_note(options, device, "neon")
    assert profile(bundle, duration_s=0.2).tuning_note is None


def test_a_profile_on_another_machine_says_so(bundle, monkeypatch):
    monkeypatch.setattr(
        "sanp_runtime.profile.profile.fingerprint", lambda: {**fingerprint(), "cpu_model": "Cortex-A76"}
    )
    assert "this is Cortex-A76" in profile(bundle, duration_s=0.2).tuning_note
