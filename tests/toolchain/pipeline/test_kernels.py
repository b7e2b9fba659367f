"""`compile --kernels`: whose kernels compute a network without gates, what proves it, and what is said of it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from sanp.cli.app import app
from sanp.pipeline.compile import our_kernels
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.inspect import inspect
from sanp.pipeline.profile import profile_bundle
from sanp.pipeline.report import report_bundle
from sanp.pipeline.validate import validate
from sanp_runtime import load
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.contract import GATED_CONV, LIBRARY_FILE
from sanp_runtime.profile.text import profile_lines
from sanp_targets.errors import ConfigError, InputError
from tests.support.checkpoints import make_checkpoint
from tests.support.plain_checkpoints import make_plain


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """(checkpoint, model)."""
    folder = tmp_path_factory.mktemp("plain")
    path = make_plain(folder / "checkpoint.safetensors")
    export(path, folder / "model.onnx", samples=16)
    return path, folder / "model.onnx"


def _race(monkeypatch, **ms):
    """The clock says this."""
    monkeypatch.setattr(
        our_kernels, "race_networks", lambda models, *_: {form: np.full(3, ms[form]) for form in models}
    )


def test_ours_run_and_are_said_to(plain, tmp_path):
    path, model = plain
    made = compile_model(model, tmp_path / "ours.sanp", kernels="ours")
    manifest, note = made.bundle.manifest, "our kernels compute 9 of 9 layers, as was asked for"
    assert made.record["kernels"] == {"asked": "ours", "chosen": "ours", "layers": list(manifest.our_layers)}
    assert LIBRARY_FILE in manifest.files and manifest.build["glibc"] and not manifest.gated
    x = made.bundle.reference().x
    standard = compile_model(model, tmp_path / "standard.sanp").bundle
    assert not standard.manifest.our_layers and "kernels" not in standard.manifest.build
    with (
        load(made.bundle.path) as ours,
        load(standard.path) as theirs,
        load(made.bundle.path, library=None) as body,
    ):
        expected = theirs(x).logits
        for engine in (ours, body):
            np.testing.assert_allclose(engine(x).logits, expected, atol=2e-5 * np.abs(expected).max(), rtol=2e-5)
        ran = {row.name for row in ours.node_times([x]) if row.op == GATED_CONV}
        assert ran == {f"{name}/conv" for name in manifest.our_layers}
        with pytest.raises(InputError, match="9 layers in our kernels were seen to run there"):
            ours.proof()
        with load(made.bundle.path, variant="parent") as parent:
            assert not {row.op for row in parent.node_times([x])} & {GATED_CONV}
    assert inspect(made.bundle.path)["about"]["kernels"] == note
    assert validate(made.bundle.path, path, limit=32).passed
    profile = profile_bundle(made.bundle.path, output=tmp_path / "p.json", duration=0.1, allow_invalid=True)
    assert note in profile_lines(profile) and all(row["dense_ms"] for row in profile["layers"])
    page = report_bundle(made.bundle.path, tmp_path / "report", profile=tmp_path / "p.json").read_text()
    assert note in page and "own kernels do the rest" not in page


@pytest.mark.parametrize(("chosen", "times"), [("ours", (1.0, 2.0)), ("onnxruntime", (2.0, 1.5))])
def test_auto_keeps_the_faster(plain, tmp_path, monkeypatch, chosen, times):
    _race(monkeypatch, ours=times[0], onnxruntime=times[1])
    made = compile_model(plain[1], tmp_path / "m.sanp", kernels="auto")
    row = made.bundle.manifest.build["kernels"]
    assert row["ms"] == {"ours": times[0], "onnxruntime": times[1]} and row["chosen"] == chosen
    assert (LIBRARY_FILE in made.bundle.manifest.files) == (chosen == "ours") == bool(row["layers"])
    said = inspect(made.bundle.path)["about"]["kernels"]
    assert said.startswith("our kernels" if chosen == "ours" else "ONNX Runtime's own kernels compute every layer")
    assert f"{min(times):.3f} ms where it was compiled, {max(times):.3f} ms in" in said


def test_auto_times_both_on_this_machine(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(our_kernels, "_ROUNDS", 2)
    done = CliRunner().invoke(app, ["compile", str(plain[1]), "-o", str(tmp_path / "m.sanp"), "--kernels", "auto"])
    assert done.exit_code == 0, done.output
    row = open_bundle(tmp_path / "m.sanp").manifest.build["kernels"]
    assert row["ms"][row["chosen"]] == min(row["ms"].values()) > 0
    assert "ms where it was compiled" in " ".join(done.output.split())


def test_where_it_is_refused(plain, tmp_path):
    gated = export(make_checkpoint(tmp_path / "g.safetensors", width=0.1), tmp_path / "g.onnx", samples=1).path
    out = tmp_path / "m.sanp"
    with pytest.raises(ConfigError, match="has gates and runs in our kernels, which --kernels ours cannot change"):
        compile_model(gated, out, kernels="ours")
    with pytest.raises(ConfigError, match="--int8 with --kernels"):
        compile_model(gated, out, kernels="auto", int8=True)
    with pytest.raises(ConfigError, match="expected no setting for ONNX Runtime; leave out --kernels"):
        compile_model(plain[1], out, kernels="ours", target="jetson-orin-nano")
    sized = export(plain[0], tmp_path / "s.onnx", samples=2, dynamic_size=True).path
    with pytest.raises(ConfigError, match="takes images of several sizes, and --kernels auto times one"):
        compile_model(sized, out, kernels="auto")
    assert compile_model(sized, out, kernels="ours").bundle.manifest.our_layers


@pytest.mark.parametrize(
    "change", [{"layers": ["nobody"]}, {"chosen": "onnxruntime"}, {"chosen": 3}, {"ms": {"ours": 1.0}}]
)
def test_a_record_that_contradicts_itself(plain, tmp_path, change):
    from dataclasses import replace

    from sanp_runtime.bundle.manifest_checks import check

    manifest = compile_model(plain[1], tmp_path / "m.sanp", kernels="ours").bundle.manifest
    row = {**manifest.build["kernels"], **change}
    with pytest.raises(InputError, match=r"build\.kernels"):
        check(replace(manifest, build={**manifest.build, "kernels": json.loads(json.dumps(row))}))
