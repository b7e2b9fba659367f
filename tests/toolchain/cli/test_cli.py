"""The command as a user meets it: exit codes, one sentence per error, no trace, nothing half-written."""

import json

import numpy as np
import pytest

from sanp.pipeline.compile.compile import compile_model
from sanp_targets.errors import ConfigError, InputError, TargetError
from tests.support.checkpoints import make_checkpoint

VERBS = ("train", "export", "compile", "validate", "profile", "inspect", "analyze", "report", "doctor", "demo")


def as_text(done):
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


def assert_one_clear_error(result, code, *fragments):
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    for fragment in fragments:
        assert fragment in result.stderr, result.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_has_an_example(sanp, verb):
    result = sanp(verb, "--help")
    assert result.returncode == 0
    assert f"Example: sanp {verb}" in " ".join(result.stdout.split())


def test_help_starts_without_heavy_packages(in_new_process):
    """`sanp --help` must answer at once: torch alone takes seconds to import."""
    code = (
        "import sys; sys.argv = ['sanp', '--help']\n"
        "from sanp.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    result = in_new_process(code)
    assert result.stdout.rstrip().endswith(b"[]"), result.stdout[-200:]


def test_export_compile_inspect_validate(sanp, trained, tmp_path):
    assert sanp("export", trained, "-o", tmp_path / "m.onnx", "--samples", 6).returncode == 0
    compiled = sanp("compile", tmp_path / "m.onnx", "-o", tmp_path / "m.sanp", "--json")
    assert json.loads(compiled.stdout)["proof"]["passed"] is True
    inspected = json.loads(sanp("inspect", tmp_path / "m.sanp", "--json").stdout)
    assert inspected["kind"] == "bundle"
    validated = sanp("validate", tmp_path / "m.sanp", "--checkpoint", trained, "--limit", 32)
    assert validated.returncode == 0, validated.stderr
    assert validated.stdout.count("PASS") == 4, "kernels and three levels"


def test_compile_and_validate_on_a_board(sanp, trained, bundle, remote, tmp_path):
    """`remote` is this machine behind a real sshd; what is printed is what a local run prints."""
    there = ["--host", remote.host, "--ssh", remote.ssh, "--board-python", remote.board_python,
             "--board-folder", remote.board_folder]  # fmt: skip
    compiled = sanp("compile", bundle.parent / "model.onnx", "-o", tmp_path / "m.sanp", "--json", *there)
    row = json.loads(compiled.stdout)
    assert row["proof"]["passed"] and row["record"]["self_test"]["passed"] and row["target"]["name"] == "x86-cpu"
    assert "testing the bundle on board" in compiled.stderr
    flags = ["validate", tmp_path / "m.sanp", "--checkpoint", trained, "--limit", 32]
    told, here = sanp(*flags, *there), sanp(*flags)
    assert told.stdout == here.stdout and told.stdout.count("PASS") == 4
    other = make_checkpoint(tmp_path / "other.safetensors", seed=5)
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\n[ "$1" = -m ] && exit 9\nexec {remote.board_python} "$@"\n')
    broken.chmod(0o755)
    there[there.index("--board-python") + 1] = broken
    refused = sanp("compile", bundle.parent / "model.onnx", "-o", tmp_path / "never.sanp", *there)
    assert refused.returncode == 3 and "board: the command ended with 9" in refused.stderr
    assert not [path.name for path in tmp_path.iterdir() if "never" in path.name], "what the board refuses is not kept"
    there[there.index("--board-python") + 1] = remote.board_python
    failed = sanp("validate", bundle, "--checkpoint", other, "--limit", 8, *there)
    assert failed.returncode == 1 and "L0 replay, L1 gates failed" in failed.stderr


def test_what_an_x86_machine_cannot_do_alone(bundle, remote, tmp_path):
    model, output = bundle.parent / "model.onnx", tmp_path / "m.sanp"
    with pytest.raises(TargetError, match=r"needs aarch64, but this machine is x86_64.*--host and --library"):
        compile_model(model, output, target="arm64-cpu")
    flat = remote.model_dump(include={"host", "ssh", "board_python", "board_folder"})
    with pytest.raises(TargetError, match="board: is x86_64, and the bundle is for arm64-cpu, expected aarch64"):
        compile_model(model, output, target="arm64-cpu", **flat)
    (tmp_path / "lib.so").write_bytes(b"none")
    with pytest.raises(InputError, match=r"lib.so: is no shared object, expected an operator library for x86_64"):
        compile_model(model, output, library=tmp_path / "lib.so", **flat)
    with pytest.raises(ConfigError, match="for ONNX Runtime; leave out --library"):
        compile_model(model, output, target="x86-cuda", library=tmp_path / "lib.so")
    assert not output.exists()


def test_validation_failure_is_exit_code_1(sanp, bundle, tmp_path):
    """The same architecture with other weights: everything fits, and every answer differs."""
    other = make_checkpoint(tmp_path / "other.safetensors", seed=5)
    result = sanp("validate", bundle, "--checkpoint", other, "--limit", 32)
    assert_one_clear_error(result, 1, "L0 replay, L1 gates")
    assert result.stdout.count("FAIL") >= 2
    assert_one_clear_error(sanp("validate", bundle, "--checkpoint", other, "--relative", 3), 2, "relative is 3")


def test_profile_writes_raw_values(sanp, bundle, tmp_path):
    result = sanp("profile", bundle, "--duration", 0.6, "--allow-invalid", "--json", "-o", tmp_path / "p.json")
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert content == json.loads((tmp_path / "p.json").read_text())
    for engine in ("dense", "open", "gated"):
        values = content["variants"][engine]["latency"]["values"]
        assert len(values) == content["variants"][engine]["latency"]["count"] > 0


def test_usage_errors_are_exit_code_2(sanp):
    assert sanp("nonsense").returncode == 2
    assert sanp("export").returncode == 2
    assert sanp("compile", "x.onnx").returncode == 2


def test_version(sanp):
    assert sanp("--version").stdout.startswith("sanp 0.")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "absent"])
@pytest.mark.parametrize("kind", ["checkpoint", "model"])
def test_damaged_files(sanp, kind, damage, trained, bundle, tmp_path):
    source = trained if kind == "checkpoint" else bundle.parent / "model.onnx"
    path = tmp_path / source.name
    content = bytearray(source.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 4
    sized = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"hello", "flipped": content}
    if damage != "absent":
        path.write_bytes(bytes(sized[damage]))
    verb = "export" if kind == "checkpoint" else "compile"
    result = sanp(verb, path, "-o", tmp_path / ("out.onnx" if verb == "export" else "out.sanp"))
    assert_one_clear_error(result, 2, str(path))
    assert not any(item.name.startswith(("out", ".out")) for item in tmp_path.iterdir())


def test_damaged_bundle(sanp, bundle, trained, tmp_path):
    import shutil

    copy = tmp_path / "copy.sanp"
    shutil.copytree(bundle, copy)
    weights = bytearray((copy / "weights.bin").read_bytes())
    weights[len(weights) // 3] ^= 1
    (copy / "weights.bin").write_bytes(bytes(weights))
    assert_one_clear_error(sanp("validate", copy, "--checkpoint", trained), 2, "weights.bin")
    assert_one_clear_error(sanp("profile", copy), 2, "weights.bin")
    assert_one_clear_error(sanp("inspect", copy), 2, "weights.bin")


def test_unknown_target_and_existing_output(sanp, bundle, tmp_path):
    model = bundle.parent / "model.onnx"
    assert_one_clear_error(sanp("compile", model, "-o", tmp_path / "x.sanp", "--target", "jetsn"), 3, "no target")
    assert_one_clear_error(sanp("compile", model, "-o", bundle), 2, "exists already")


def test_unwritable_output(sanp, trained, bundle, tmp_path):
    (tmp_path / "file").write_text("")
    assert_one_clear_error(sanp("export", trained, "-o", tmp_path / "file" / "m.onnx"), 2, "cannot be written")
    model = bundle.parent / "model.onnx"
    assert_one_clear_error(sanp("compile", model, "-o", tmp_path / "file" / "m.sanp"), 2, "file")
    assert_one_clear_error(sanp("train", "-o", tmp_path / "file" / "run"), 2, "file")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_unknown_settings(sanp, tmp_path):
    path = tmp_path / "sanp.toml"
    path.write_text("[train]\nbudgett = 0.5\n")
    assert_one_clear_error(sanp("train", "-o", tmp_path / "run", "--config", path), 2, "did you mean budget")
    assert_one_clear_error(sanp("train", "-o", tmp_path / "run", "--set", "budget"), 2, "key=value")
    assert_one_clear_error(sanp("train", "-o", tmp_path / "run", "--budget", 7), 2, "budget")


def test_debug_shows_the_trace_and_nothing_else_does(in_new_process, tmp_path):
    code = "import sys; from sanp.cli.app import main; sys.argv = ['sanp', 'inspect', {!r}{}]; main()"
    path = str(tmp_path / "absent.onnx")
    assert b"Traceback" in in_new_process(code.format(path, ", '--debug'")).stderr
    assert_one_clear_error(as_text(in_new_process(code.format(path, ""))), 2, path)


@pytest.mark.parametrize(("verb", "package"), [("export", "torch"), ("compile", "onnx")])
def test_a_base_install_says_what_to_add(in_new_process, verb, package, tmp_path):
    """The base install has neither torch nor onnx; a verb that needs them is not a bug of ours."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from sanp.cli.app import main; sys.argv = ['sanp', {verb!r}, 'in', '-o', {str(tmp_path / 'out')!r}]; main()"
    )
    assert_one_clear_error(as_text(in_new_process(code)), 3, package, "pip install")


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"nowhere": np.ones((1, 16), "f")}, "nowhere"),
        ({"conv0.conv": np.ones((1, 15), "f")}, "15"),
        ({"conv0.conv": np.ones((3, 16), "f")}, "3"),
        ({"conv0.conv": np.full((1, 16), np.nan, "f")}, "NaN"),
        ({"conv0.conv": -np.ones((1, 16), "f")}, "negative"),
        ({"conv0.conv": np.ones((1, 16), "i4")}, "int32"),
    ],
)
def test_wrong_masks_never_reach_the_library(bundle, masks, message):
    from sanp_runtime import load
    from sanp_targets.errors import InputError

    with load(bundle) as engine, pytest.raises(InputError, match=message):
        engine(np.zeros((2, 3, 32, 32), "f"), masks)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((2, 3, 32, 32)),
        np.zeros((2, 1, 32, 32), "f"),
        np.zeros((2, 3, 32), "f"),
        np.zeros((2, 3, 16, 32), "f"),
        np.zeros((2, 3, 32, 32), "u1"),
        np.full((1, 3, 32, 32), np.nan, "f"),
        [[1, 2], [3]],
    ],
)
def test_wrong_images_never_reach_the_library(bundle, x):
    from sanp_runtime import load
    from sanp_targets.errors import InputError

    with load(bundle) as engine, pytest.raises(InputError):
        engine(x)
