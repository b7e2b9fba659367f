"""Checkpoint to ONNX to bundle to validation, for every backbone and exportable method, with PyTorch as the oracle."""

import json
import os
import shutil

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

import sanp
from sanp import checkpoint
from sanp.cost.tracker import CostTracker
from sanp.gating import gated_layers
from sanp.pipeline.compile import job as compiling
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export, reference_path
from sanp.pipeline.inspect import inspect
from sanp.pipeline.profile import profile_bundle
from sanp.pipeline.reference import pytorch_answers
from sanp.pipeline.report import report_bundle
from sanp.pipeline.validate import validate
from sanp.settings.validate import ValidateSettings
from sanp_runtime import load
from sanp_runtime.bundle.reader import open_bundle
from sanp_targets.errors import AccelerationError, ConfigError, ExportError, InputError, TargetError
from sanp_targets.targets import host_arch
from tests.support.checkpoints import make_checkpoint

pytestmark = pytest.mark.slow

CASES = [
    ("m-cifarnet", "sanp", {}),
    ("m-cifarnet", "sanp", {"group": 5}),
    ("vgg-19", "sanp", {}),
    ("resnet-18", "sanp", {}),
    ("resnet-18", "fixed-k", {"density": 0.6}),
    ("vgg-19", "static", {}),
    ("imagenet-mobilenet-v2", "sanp", {"layers": "inner"}),
    ("imagenet-mobilenet-v2", "fbs", {"density": 0.6}),
    ("resnet-18", "fbs", {"density": 0.6}),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join([*case[:2], *case[2]]))
def built(request, tmp_path_factory):
    """(checkpoint, model, bundle) of one case."""
    name, method, options = request.param
    folder = tmp_path_factory.mktemp("built")
    path = make_checkpoint(folder / "checkpoint.safetensors", name, method, width=0.25, **options)
    export(path, folder / "model.onnx", samples=24)
    return path, folder / "model.onnx", compile_model(folder / "model.onnx", folder / "model.sanp").bundle


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The model of `trained` with four samples, for tests that compile it and leave it as it is."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export(trained, path, samples=4)
    return path


def test_all_levels_pass(built):
    path, _, bundle = built
    result = validate(bundle.path, path, ValidateSettings(limit=96))
    assert result.passed, [report.summary() for report in result.levels().values()]
    assert result.gates.decisions > 0 and not result.gates.count("mismatch")
    assert 0.02 < np.mean(list(result.gates.open_fraction.values())) < 0.98, "gates of both kinds were compared"
    json.dumps(result.to_json(), allow_nan=False)


def test_every_block_of_a_mobilenet_is_one_node(built):
    """Projections without a gate: all blocks but the first, which has no expansion. With learned gates: none."""
    _, _, bundle = built
    if "mobilenet" not in bundle.manifest.name:
        assert not bundle.manifest.blocks
    else:
        assert len(bundle.manifest.blocks) == (16 if bundle.manifest.method["name"] == "sanp" else 0)


def test_plain_onnx_runtime_gives_the_same_logits(built):
    """Deleting our library must not change an answer, only its speed."""
    _, model, bundle = built
    reference = bundle.reference()
    plain = ort.InferenceSession(str(model)).run(["logits"], {"input": reference.x})[0]
    # MobileNetV2 has 52 layers: of the largest logit, PyTorch is off by 1.3e-5 and ONNX Runtime by 2.6e-5 from float64.
    rounding = 5e-5 if "mobilenet" in bundle.manifest.name else 2e-5
    with load(bundle.path) as fast, load(bundle.path, library=None) as slow:
        for logits in (fast(reference.x).logits, slow(reference.x).logits, plain):
            scale = np.abs(reference.logits).max()
            np.testing.assert_allclose(logits, reference.logits, atol=rounding * scale, rtol=2e-5)


def test_exporter_and_tracker_agree_on_the_network(built):
    """The layer table of the ONNX graph and that of torch.fx are derived independently."""
    path, _, bundle = built
    loaded = checkpoint.load(path)
    tracker = CostTracker(loaded.model, loaded.example_input)
    assert tracker.dense == bundle.manifest.dense_macs
    mine, theirs = ({row.name: row for row in rows} for rows in (bundle.manifest.layers, tracker.layers))
    assert set(mine) == set(theirs)
    for name, row in mine.items():
        other = theirs[name]
        fields = ("c_in", "c_out", "out_hw", "kernel", "groups", "gated", "gate_hidden", "gate_direct")
        assert [getattr(row, field) for field in fields] == [getattr(other, field) for field in fields], name


def test_per_sample_macs_agree_between_pytorch_and_the_engine(built):
    path, _, bundle = built
    loaded = checkpoint.load(path)
    tracker = CostTracker(loaded.model, loaded.example_input)
    reference = bundle.reference()
    with torch.no_grad():
        loaded.model(torch.from_numpy(reference.x))
    with load(bundle.path) as engine:
        np.testing.assert_allclose(engine(reference.x).macs, (tracker.shares() * tracker.dense).numpy(), rtol=1e-6)


def test_a_broken_kernel_is_seen_at_level_0_and_a_moved_gate_at_level_1(built, tmp_path):
    """The levels must fail, and the right one: damage the copy of the network that is compared."""
    path, _, bundle = built
    loaded = checkpoint.load(path)
    model = loaded.model
    last = [module for module in model.modules() if hasattr(module, "gated_conv_spec")][-1]
    (last.beta if last.norm.bias is None else last.norm.bias).data += 0.5
    checkpoint.save(tmp_path / "kernel.safetensors", model, loaded.config)
    result = validate(bundle.path, tmp_path / "kernel.safetensors", ValidateSettings(limit=32))
    assert not result.replay.passed
    assert result.gates.passed, "the gates did not change"


def test_inspect_tells_the_same_of_all_three(built):
    path, model, bundle = built
    found = [inspect(item) for item in (path, model, bundle.path)]
    assert [item["kind"] for item in found] == ["checkpoint", "model", "bundle"]
    assert len({item["dense_macs"] for item in found}) == 1
    assert len({item["gated_layers"] for item in found}) == 1
    json.dumps(found, allow_nan=False)


def test_a_network_of_ones_own(tmp_path):
    """The Python API on a network that is not ours, without a data set."""
    torch.manual_seed(0)
    backbone = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 5, 2, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU6(),
        torch.nn.Conv2d(8, 12, (3, 1), padding="same"), torch.nn.BatchNorm2d(12), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(12, 3),
    ).eval()  # fmt: skip
    example = torch.randn(4, 1, 19, 23)
    network = sanp.gate(backbone, example).eval()
    labels = np.arange(4) % 3
    sanp.export(network, tmp_path / "own.onnx", example_input=example, images=example.numpy(), labels=labels)
    bundle = sanp.compile(tmp_path / "own.onnx", tmp_path / "own.sanp").bundle
    reference = pytorch_answers(network, example.numpy(), labels)
    with load(bundle.path) as engine:
        np.testing.assert_allclose(engine(example.numpy()).logits, reference.logits, rtol=1e-4, atol=1e-5)
        off = {name: np.zeros((1, bundle.manifest.layer(name).c_out), "f") for name in engine.gated}
        assert not any(gate.any() for gate in engine(example.numpy(), off).gates.values())


def test_answers_of_another_model_are_refused(trained, tmp_path):
    export(trained, tmp_path / "a.onnx", samples=4)
    export(trained, tmp_path / "b.onnx", samples=5)
    shutil.copy(reference_path(tmp_path / "b.onnx"), reference_path(tmp_path / "a.onnx"))
    with pytest.raises(InputError, match=r"does not belong to a\.onnx"):
        compile_model(tmp_path / "a.onnx", tmp_path / "a.sanp")
    reference_path(tmp_path / "a.onnx").unlink()
    with pytest.raises(InputError, match="is missing"):
        compile_model(tmp_path / "a.onnx", tmp_path / "a.sanp")
    assert not (tmp_path / "a.sanp").exists()


def test_a_model_without_answers_compiles(trained, tmp_path):
    export(trained, tmp_path / "model.onnx", samples=0)
    bundle = compile_model(tmp_path / "model.onnx", tmp_path / "model.sanp").bundle
    with pytest.raises(InputError, match="reference samples"):
        bundle.reference()


def test_an_engine_that_would_not_be_accelerated_is_refused(exported, tmp_path, monkeypatch):
    """A library that registers nothing stands for any mismatch: ONNX Runtime would run the functions, slowly."""
    monkeypatch.setattr(compiling, "load_bundle", lambda bundle: load(bundle.path, library=None))
    with pytest.raises(AccelerationError, match="did not run in our kernel"):
        compile_model(exported, tmp_path / "model.sanp")
    assert not (tmp_path / "model.sanp").exists(), "no half-written bundle"


def test_targets(exported, tmp_path):
    with pytest.raises(TargetError, match="there is no target 'toaster'"):
        compile_model(exported, tmp_path / "model.sanp", target="toaster")
    foreign = "arm64-cpu" if host_arch() != "aarch64" else "x86-cpu"
    with pytest.raises(TargetError, match="compile` there"):
        compile_model(exported, tmp_path / "model.sanp", target=foreign)


def test_replacing_a_bundle_is_explicit(exported, tmp_path):
    first = compile_model(exported, tmp_path / "model.sanp").bundle
    with pytest.raises(ConfigError, match="exists already"):
        compile_model(exported, tmp_path / "model.sanp")
    assert open_bundle(first.path).digest() == first.digest()
    assert compile_model(exported, tmp_path / "model.sanp", replace=True).bundle.path == first.path


def test_bundle_graphs_hold_nothing_that_is_not_measured(trained, tmp_path):
    export(trained, tmp_path / "model.onnx", samples=0, macs=True)
    bundle = compile_model(tmp_path / "model.onnx", tmp_path / "model.sanp").bundle
    for name in ("gated", "open", "replay", "dense"):
        graph = onnx.load(bundle.variant(name), load_external_data=False).graph
        assert "macs" not in {output.name for output in graph.output}
        assert "Greater" not in {node.op_type for node in graph.node}


def test_validating_with_another_network_is_an_input_error(exported, tmp_path):
    other = make_checkpoint(tmp_path / "other.safetensors", "m-cifarnet", width=0.5)
    bundle = compile_model(exported, tmp_path / "model.sanp").bundle
    with pytest.raises(InputError, match="the checkpoint it was exported from"):
        validate(bundle.path, other, ValidateSettings(limit=8))


def test_exporting_leaves_the_callers_network_alone_and_checks_what_it_gets(tmp_path):
    torch.manual_seed(0)
    body = torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
    example = torch.randn(2, 3, 12, 12)
    network = sanp.gate(torch.nn.Sequential(*body, torch.nn.Flatten()), example).train()
    export(network, tmp_path / "own.onnx", example_input=example)
    assert network.training
    mapping = torch.nn.Sequential(*body, torch.nn.Flatten(0))
    with pytest.raises(ExportError, match="a row for each sample"):
        export(mapping, tmp_path / "map.onnx", example_input=example)
    with pytest.raises(ConfigError, match="gates is 'nonsense'"):
        export(network, tmp_path / "own.onnx", example_input=example, gates="nonsense")
    with pytest.raises(ExportError, match="expected float32"):
        export(network, tmp_path / "one.onnx", example_input=example[0])
    with pytest.raises(ConfigError, match="images have shape"):
        export(network, tmp_path / "two.onnx", example_input=example, images=np.zeros((2, 3, 9, 9)), labels=np.zeros(2))


class _Overflowing(torch.nn.Module):
    """Leaves float32."""

    def forward(self, x):
        return x * 3e38 * 3e38


def _diverged(trained, *, gates: bool):
    """A network whose first gate or whose logits leave float32, although every parameter is finite."""
    network = checkpoint.load(trained).model
    if not gates:
        return torch.nn.Sequential(network, _Overflowing())
    first = next(iter(gated_layers(network).values()))
    with torch.no_grad():
        first.gate.net.fc1.weight.fill_(3e38)
        first.gate.net.fc1.bias.fill_(3e38)
    return network


@pytest.mark.parametrize(("gates", "words"), [(True, "the gate of layer"), (False, "the output logits")])
def test_answers_that_are_not_finite_are_refused_at_export(trained, tmp_path, gates, words):
    example = checkpoint.load(trained).example_input
    network = _diverged(trained, gates=gates)
    images, labels = torch.rand(3, *example.shape[1:]).numpy(), np.zeros(3, np.int64)
    path = tmp_path / "model.onnx"
    with pytest.raises(InputError, match=rf"{words}.* NaN or infinite for . of 3 samples.*train the network again"):
        export(network, path, example_input=example, images=images, labels=labels)
    assert list(tmp_path.iterdir()) == [], "nothing is written"
    with pytest.raises(ExportError, match="answers its example input with NaN or infinity in the output logits"):
        export(network, path, example_input=torch.rand_like(example))
    assert list(tmp_path.iterdir()) == []


def test_a_report_takes_results_of_its_own_bundle_only(trained, tmp_path):
    for name, samples in (("a", 4), ("b", 5)):
        export(trained, tmp_path / f"{name}.onnx", samples=samples)
        compile_model(tmp_path / f"{name}.onnx", tmp_path / f"{name}.sanp")
    profile = profile_bundle(tmp_path / "a.sanp", output=tmp_path / "profile.json", duration=0.05)
    checked = validate(tmp_path / "a.sanp", trained, limit=8).to_json()
    (tmp_path / "validation.json").write_text(json.dumps(checked))
    given = {"profile": tmp_path / "profile.json", "validation": tmp_path / "validation.json"}
    assert report_bundle(tmp_path / "a.sanp", tmp_path / "page", **given).is_file()
    for what, path in given.items():
        words = f"the {what} is of the bundle .*{profile['bundle']['digest'][:12]}.*b.sanp"
        with pytest.raises(InputError, match=words):
            report_bundle(tmp_path / "b.sanp", tmp_path / "other", **{what: path})
    assert not (tmp_path / "other").exists()


def test_an_export_that_fails_leaves_the_earlier_pair(trained, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    export(trained, path, samples=4)
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}

    def full(handle, real=os.fsync, calls=[]):  # noqa: B006
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="cannot be written"):
        export(trained, path, samples=5, replace=True)
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before
    compile_model(path, tmp_path / "model.sanp")
