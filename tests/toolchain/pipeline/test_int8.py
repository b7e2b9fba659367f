"""`sanp compile --int8`: what an int8 bundle holds, who is refused, accuracy control, and that wrong bytes show."""

import dataclasses
import json
import shutil

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from sanp.cli.app import app
from sanp.pipeline import demo, doctor
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.compile.int8 import control, quantise
from sanp.pipeline.compile.int8.layer_noise import signal_to_noise
from sanp.pipeline.compile.int8.ranges import METHODS, method_for, steps_of
from sanp.pipeline.compile.int8.requirements import split
from sanp.pipeline.export import export
from sanp.pipeline.inspect import inspect
from sanp.pipeline.validate import validate
from sanp.report import write_report
from sanp.report.sections.int8 import sentence
from sanp.settings.compile import CompileSettings
from sanp.settings.demo import DemoSettings
from sanp_export.graph import model_file
from sanp_export.graph.byte_layers import unsuited
from sanp_export.variants import variants
from sanp_runtime import load
from sanp_runtime.bundle.reference import read_reference
from sanp_runtime.contract import GATED_CONV, GATED_QLINEAR_CONV, conv_node, variants_of
from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Gate
from sanp_runtime.profile.profile import profile
from sanp_runtime.profile.text import profile_lines
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, ValidationError
from tests.support.checkpoints import make_checkpoint

pytestmark = pytest.mark.slow

# The stem, a projection and a convolution inside a block have no gate.
UNGATED = ("conv1", "layer2.0.shortcut.0", "layer3.1.conv1")
GATED = [
    *(f"layer{stage}.{block}.conv{at}" for stage in (1, 2, 3) for block in (0, 1, 2) for at in (1, 2)),
    "layer3.0.shortcut.0",
]
VNNI = {"cpu_model": "a processor with VNNI", "isa": ["avx512_vnni", "avx512_vbmi2"]}


@pytest.fixture(autouse=True)
def _products_of_bytes(monkeypatch):
    """Results do not depend on the processor: without its instructions the kernels are only slow."""
    monkeypatch.setattr(quantise, "processor", lambda: VNNI)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(checkpoint, model, int8 bundle) of a network with shortcuts; an untrained one may lose what it likes."""
    folder = tmp_path_factory.mktemp("int8")
    layers = ",".join(name for name in GATED if name not in UNGATED)
    path = make_checkpoint(folder / "checkpoint.safetensors", "resnet-20", width=0.5, layers=layers)
    export(path, folder / "model.onnx", samples=48)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantise, "processor", lambda: VNNI)
        bundle = compile_model(folder / "model.onnx", folder / "int8.sanp", int8=True, max_drop=1.0).bundle
    return path, folder / "model.onnx", bundle


def ops(bundle, variant):
    return [node.op_type for node in onnx.load(bundle.variant(variant), load_external_data=False).graph.node]


def test_a_bundle_of_bytes_has_the_float32_network_beside_it(made):
    _, _, bundle = made
    manifest = bundle.manifest
    assert set(manifest.variants) == set(variants_of(True, False, int8=True))
    assert manifest.precision == "int8" and manifest.baseline == "dense"
    assert set(manifest.int8["layers"]) == {*manifest.masked, *UNGATED} and not manifest.int8["float32"]
    for variant in ("gated", "open", "replay"):
        found = ops(bundle, variant)
        assert found.count(GATED_QLINEAR_CONV) == len(manifest.int8["layers"]) and GATED_CONV not in found
        assert "Conv" not in found and found.count("QuantizeLinear") == 1, "bytes from the image to the head"
    floats = ops(bundle, "float_gated")
    assert floats.count(GATED_CONV) == len(manifest.masked) and floats.count("Conv") == len(UNGATED)
    assert "QuantizeLinear" in ops(bundle, "dense") and "QuantizeLinear" not in ops(bundle, "float_dense")
    check = manifest.int8["check"]
    assert check["samples"] == manifest.int8["calibration_samples"] == 24
    assert sum(row["decisions"] for row in check["gates"].values()) == 24 * sum(
        manifest.layer(name).c_out for name in manifest.gated
    )


def test_every_gated_node_of_every_variant_runs_in_our_kernels(made):
    for variant in ("gated", "open", "replay", "float_gated"):
        with load(made[2].path, variant=variant) as engine:
            proof = engine.proof().require()
            assert len(proof.accelerated) >= len(made[2].manifest.masked)
            plain = {conv_node(name) for name in UNGATED}
            assert plain <= set(proof.accelerated) if variant != "float_gated" else not plain & set(proof.accelerated)


def test_it_validates_and_says_so(made):
    result = validate(made[2].path, made[0], max_drop=0.1, relative=0.5)
    assert not result.failed_levels(), result.summary()
    row = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert set(row["L0"]["steps"]) == set(made[2].manifest.int8["layers"]) and max(row["L0"]["steps"].values()) <= 1
    assert "one step" in result.replay.summary() or "equal" in result.replay.summary()


def test_a_wrong_byte_fails_at_its_layer(made, monkeypatch):
    from sanp_runtime.engines.onnxruntime.engine import OnnxEngine

    whole = OnnxEngine.steps_apart
    first = next(iter(made[2].manifest.int8["layers"]))

    def off(self, x, masks):
        found = whole(self, x, masks)
        return {**found, first: found[first] + 2}

    monkeypatch.setattr(OnnxEngine, "steps_apart", off)
    result = self_test(made[2])
    assert "L0 replay" in result.failed_levels() and first in result.replay.summary()
    assert "a kernel is wrong" in result.replay.summary()


def test_other_variants_do_not_compare_their_bytes(made):
    reference = made[2].reference()
    with load(made[2].path) as engine, pytest.raises(ConfigError, match="replay"):
        engine.steps_apart(reference.x, reference.scales)


def test_the_profile_shows_bytes_and_float32_side_by_side(made, tmp_path):
    found = profile(made[2], duration_s=0.2, pin=False).to_json()
    assert list(found["variants"]) == ["float_dense", "float_gated", "dense", "open", "gated"]
    assert found["baseline"] == "dense" and found["main"] == "gated"
    text = "\n".join(profile_lines(found))
    for part in ("float32 dense", "float32 gated", "int8 dense", "int8 open", "int8 gated", "bytes against float32"):
        assert part in text
    rows = {row["name"]: row for row in found["layers"]}
    for name in made[2].manifest.gated:
        assert all(rows[name][key] is not None for key in ("open_ms", "gated_ms", "float_gated_ms")), name
    results = {"profile": found, "bundle": made[2].manifest.to_json(), "validation": None, "training": None}
    page = write_report(results, tmp_path).read_text(encoding="utf-8")
    assert "Int8 layers" in page and "int8 gated, as trained" in page and "float32 gated" in page


def test_inspect_shows_steps_and_layers(made):
    found = inspect(made[2].path)
    assert found["about"]["precision"] == "int8" and found["int8"]["layers"]
    text = CliRunner().invoke(app, ["inspect", str(made[2].path)]).output
    name = made[2].manifest.gated[0]
    assert f"{name}: bytes" in " ".join(text.split()) and "zero" not in text.split("int8")[0]


def test_accuracy_control_returns_the_worst_layers_and_no_more(made, tmp_path, monkeypatch):
    """Labels are the answers of the float network, so that a fall of the accuracy is certain at 0."""
    whole = control._answers
    calls = []

    def worse(model, judged, library):
        found = whole(model, judged, library)
        layers = sum(node.op_type == GATED_QLINEAR_CONV for node in model.graph.node)
        calls.append(layers)
        lost = max(layers - 15, 0)  # as if each int8 layer beyond 15 lost a sample
        logits = judged.logits.copy()
        right = np.flatnonzero(logits.argmax(1) == judged.labels)[:lost]
        logits[right] = -logits[right]
        return [logits, *found[1:]]

    monkeypatch.setattr(control, "_answers", worse)
    bundle = compile_model(made[1], tmp_path / "net.sanp", int8=True, max_drop=0.0).bundle
    int8 = bundle.manifest.int8
    assert len(int8["layers"]) <= 15 and calls == list(
        range(len(made[2].manifest.int8["layers"]), len(int8["layers"]) - 1, -1)
    )
    errors = made[2].manifest.int8["layers"]
    assert min(errors[name]["error"] for name in int8["float32"]) >= max(
        errors[name]["error"] for name in int8["layers"]
    )
    monkeypatch.undo()
    assert all(name in {*int8["layers"], *int8["float32"]} for name in UNGATED)
    with load(bundle.path) as engine:
        engine.proof().require()
        engine(bundle.reference().x).classes()


def test_a_network_that_loses_with_every_layer_is_refused(made, tmp_path, monkeypatch):
    def lost(model, judged, library):
        logits = judged.logits.copy()
        logits[np.arange(len(judged)), judged.labels] = -1e3
        return [logits, *judged.scales.values()]

    monkeypatch.setattr(control, "_answers", lost)
    with pytest.raises(ValidationError, match="stays float32"):
        compile_model(made[1], tmp_path / "net.sanp", int8=True)
    assert not (tmp_path / "net.sanp").exists()


@pytest.mark.parametrize("method", METHODS)
def test_ranges_hold_what_the_samples_reach(made, method):
    model = model_file.read(made[1])
    reference = read_reference(made[1].with_name("model.reference.npz"), made[2].manifest)
    steps = steps_of(variants(model)["gated"], reference.x[:16], method)
    widest = steps_of(variants(model)["gated"], reference.x[:16], "minmax")
    assert set(steps) == set(widest)
    for name, step in steps.items():
        assert 0 < step.size <= widest[name].size * 1.01, name


def test_the_noise_of_layers_in_front_of_float32_ones(made):
    """What follows the last int8 layer is not computed, and its masks are not asked for."""
    replay = variants(model_file.read(made[1]))["replay"]
    reference = read_reference(made[1].with_name("model.reference.npz"), made[2].manifest).take(range(4))
    steps = steps_of(control.opened(replay), reference.x, "minmax")
    layers = ("conv1", "layer1.0.conv1")
    rounded = control.quantised(replay, layers, steps)
    noise = signal_to_noise(control.opened(replay), rounded, layers, reference, find_library())
    assert set(noise) == set(layers) and all(20 < value < 70 for value in noise.values())


def test_samples_are_split_once_each(made):
    reference = read_reference(made[1].with_name("model.reference.npz"), made[2].manifest)
    for count, expected in ((None, 24), (8, 8), (32, 32)):
        seen, judged = split(reference, count)
        assert (len(seen), len(judged)) == (expected, 48 - expected)
        rows = np.concatenate([seen.x, judged.x]).reshape(48, -1)
        assert len(np.unique(rows, axis=0)) == len(np.unique(reference.x.reshape(48, -1), axis=0))
    for answers, count in ((None, None), (reference.take(range(16)), None), (reference, 40)):
        with pytest.raises(ConfigError, match="samples"):
            split(answers, count)


def test_layers_that_our_kernels_do_not_suit():
    rows = [
        Layer("wide", 512, 8, (4, 4), (3, 3), gated=True, gate_hidden=4),
        Layer("long", 8192, 8, (4, 4), (3, 3), gated=True, gate_hidden=4),
        Layer("grouped", 8, 8, (4, 4), (3, 3), groups=2, gated=True, gate_hidden=4),
        Layer("depthwise", 8, 8, (4, 4), (3, 3), groups=8, follows=Gate("grouped")),
        Layer("plain", 64, 8, (4, 4), (3, 3)),
        Layer("plain long", 8192, 8, (4, 4), (3, 3)),
        Layer("pixel", 64, 8, (1, 1), (1, 1)),
        Layer("gated pixel", 64, 8, (1, 1), (1, 1), gated=True, gate_hidden=4),
    ]
    found = unsuited(rows)
    assert set(found) == {"long", "grouped", "depthwise", "plain long", "pixel"} and all(
        text.startswith("float32: ") for text in found.values()
    )


def test_processors_targets_and_networks_that_cannot_be_served(made, tmp_path, monkeypatch):
    plain = make_checkpoint(tmp_path / "pixels.safetensors", "m-cifarnet", method="channel-gating", width=0.25)
    export(plain, tmp_path / "pixels.onnx", samples=32)
    with pytest.raises(ConfigError, match=r"every pixel.*stays float32"):
        compile_model(tmp_path / "pixels.onnx", tmp_path / "net.sanp", int8=True)
    monkeypatch.setattr(quantise, "processor", lambda: {"cpu_model": "Old", "isa": ["avx2", "avx512_vnni"]})
    with pytest.raises(ConfigError, match=r"Old has no products of bytes.*stays float32"):
        compile_model(made[1], tmp_path / "net.sanp", int8=True)


@pytest.mark.parametrize(
    "settings",
    [{"samples": 16}, {"calibration": "percentile"}, {"max_drop": 0.1}, {"int8": True, "tune": True},
     {"int8": True, "bf16_weights": True}, {"int8": True, "precision": "fp16"}],
)  # fmt: skip
def test_settings_that_do_not_belong_together(settings):
    with pytest.raises(ConfigError):
        CompileSettings.chosen(None, settings)


def test_learned_ranges_are_taken_also_after_a_fold(made, tmp_path):
    """Those of two layers; what else is read or written is measured."""
    model = model_file.read(made[1])
    learned = {"layer1.1.conv1": {"x": [0.0, 3.0], "y": [0.0, 2.0]}, "layer1.1.conv2": {"residual": [0.0, 3.0]}}
    properties = {**model_file.metadata_of(model), model_file.RANGES_KEY: json.dumps(learned)}
    path = tmp_path / "model.onnx"
    model_file.write(model_file.to_model(model_file.to_graph(model), properties), path)
    shutil.copy(made[1].with_name("model.reference.npz"), tmp_path)
    result = compile_model(path, tmp_path / "net.sanp", int8=True, fold=True, max_drop=1.0)
    manifest = result.bundle.manifest
    assert manifest.fold and manifest.int8 and not manifest.parent
    assert manifest.int8["calibration"] == "trained" and "trained with" in sentence(manifest.int8)
    row = manifest.int8["layers"]["layer1.1.conv1"]
    assert (row["x"]["step"], row["y"]["step"]) == pytest.approx((3 / 255, 2 / 255))
    assert set(manifest.int8["layers"]) >= set(manifest.gated)
    checked = self_test(result.bundle)
    assert checked.replay.passed and checked.gates.passed, checked.summary()
    with pytest.raises(ConfigError, match="no learned ranges"):
        method_for("trained", model)
    assert method_for("auto", model) == "minmax" and method_for("percentile", model_file.read(path)) == "percentile"


def test_the_manifest_must_agree_with_itself(made):
    from sanp_runtime.bundle.manifest_checks import check
    from sanp_targets.errors import InputError

    build = dict(made[2].manifest.build)
    int8 = dict(build["int8"])
    first = next(iter(int8["layers"]))
    wrong = [
        {**build, "precision": "fp32"},
        {**build, "precision": "fp16"},
        {key: value for key, value in build.items() if key != "int8"},
        {**build, "int8": {**int8, "layers": {}}},
        {**build, "int8": {**int8, "byte_gates": ["nobody"]}},
        {**build, "int8": {**int8, "float32": {first: "twice"}}},
        {**build, "int8": {**int8, "layers": {**int8["layers"], first: {**int8["layers"][first], "error": -0.1}}}},
    ]
    for row in wrong:
        with pytest.raises(InputError):
            check(dataclasses.replace(made[2].manifest, build=row))
    check(made[2].manifest)


def test_few_samples_may_not_change_a_prediction_and_many_may_lose_what_is_allowed(made, monkeypatch):
    """Two predictions change, one to the better: nothing of the accuracy is lost, which few samples cannot know."""
    reference = read_reference(made[1].with_name("model.reference.npz"), made[2].manifest)
    right = np.flatnonzero(reference.logits.argmax(1) == reference.labels)[:1]
    wrong = np.flatnonzero(reference.logits.argmax(1) != reference.labels)[:1]

    def swapped(model, judged, library):
        logits = judged.logits.copy()
        logits[right, judged.labels[right]] = -1e3
        logits[wrong, judged.labels[wrong]] = 1e3
        return [logits, *judged.scales.values()]

    monkeypatch.setattr(control, "_answers", swapped)
    monkeypatch.setattr(control, "quantised", lambda *_: None)
    many = reference.take([*range(48)] * 5)
    arguments = ({"a": 0.1, "b": 0.2}, {}), (0.005, find_library(), lambda _: None)
    for judged, kept in ((many, True), (reference, False)):
        if kept:
            assert control.choose(None, *arguments[0], judged, *arguments[1]).layers == ("a", "b")
        else:
            with pytest.raises(ValidationError, match="held back"):
                control.choose(None, *arguments[0], judged, *arguments[1])


def test_the_demo_goes_on_without_int8(made, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "processor", lambda: {"cpu_model": "Old", "isa": ["avx2"]})
    said = []
    assert demo._int8(made[1], tmp_path, DemoSettings(), said.append) is None
    assert len(said) == 1 and "stays float32" in said[0] and not (tmp_path / "model-int8.sanp").exists()


def test_the_doctor_says_whether_int8_pays(monkeypatch):
    for isa, state in (
        (["avx512_vnni", "avx512_vbmi2"], "ok"),
        (["asimddp"], "ok"),
        (["avx_vnni"], "ok"),
        (["avx512_vnni"], "note"),
    ):
        monkeypatch.setattr(doctor, "processor", lambda isa=isa: {"isa": isa})
        assert doctor._int8().state == state
