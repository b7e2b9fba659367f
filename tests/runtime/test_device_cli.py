"""`python -m sanp_runtime`: exit codes, JSON on standard output and nothing else, messages on standard error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sanp_runtime.cli import main
from tests.support import tiny_net

ROOT = Path(__file__).parents[2]
# What a board does with a bundle, where Python has no parser for TOML.
RUN_WITHOUT_TOML = """
import sys
sys.modules.update(tomllib=None, tomli=None)
from sanp_runtime.cli import main
bundle = sys.argv[1]
for command in (["info"], ["run", "--plain"], ["self-test", "--plain"], ["time", "--plain", "--duration", "0.01"],
                ["profile", "--plain", "--duration", "0.01", "--allow-invalid"]):
    code = main([command[0], bundle, *command[1:]])
    assert code == 0, (command, code)
from sanp_targets.targets import resolve
try:
    resolve("x86-cpu")
except Exception as error:
    print(error)
"""


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main([str(item) for item in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_self_test_passes_and_speaks_json(capsys, pristine):
    code, out, err = call(capsys, "self-test", pristine, "--plain", "--json")
    assert (code, err) == (0, "") and json.loads(out)["passed"] is True
    assert call(capsys, "self-test", pristine, "--plain")[1].count("PASS") == 3


def test_native_self_test(capsys, native_path):
    code, out, _ = call(capsys, "self-test", native_path)
    assert code == 0 and "6 of 6 gated nodes" in out


def test_missing_library_is_3(capsys, pristine):
    code, out, err = call(capsys, "self-test", pristine)
    assert code == 3 and out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_damage_is_2(capsys, bundle_path):
    (bundle_path / "weights.bin").write_bytes(b"")
    for command in ("info", "run", "self-test", "profile"):
        code, out, err = call(capsys, command, bundle_path)
        assert code == 2 and out == "" and "weights.bin" in err, command
        assert "Traceback" not in err


def test_failed_level_is_1(capsys, tmp_path):
    from sanp_runtime.bundle.writer import BundleWriter
    from sanp_runtime.contract import VARIANTS
    from tests.support.tiny_bundle import make_manifest, make_reference

    blob, offsets, weights = bytearray(), {}, tiny_net.weights(seed=4)
    with BundleWriter(tmp_path / "b.sanp") as writer:
        for kind in VARIANTS:
            writer.add_bytes(f"{kind}.onnx", tiny_net.external(tiny_net.build_graph(kind, weights), offsets, blob))
        writer.add_bytes("weights.bin", bytes(blob))
        writer.add_reference(make_reference())
        writer.finish(make_manifest())
    code, out, err = call(capsys, "self-test", tmp_path / "b.sanp", "--plain")
    assert code == 1 and "FAIL" in out and "self-test failed" in err


def test_invalid_measurement_is_4(capsys, pristine, tmp_path, monkeypatch):
    monkeypatch.setattr("sanp_runtime.measure.verdict.MAX_SPREAD", -1.0)
    output = tmp_path / "new" / "profile.json"
    code, out, err = call(capsys, "profile", pristine, "--plain", "--duration", "0.01", "-o", output, "--json")
    assert code == 4 and "NOISY" in err
    assert json.loads(out)["validity"]["verdict"] == "NOISY"
    assert json.loads(output.read_text()) == json.loads(out)
    code, out, _ = call(capsys, "profile", pristine, "--plain", "--duration", "0.01", "--allow-invalid")
    assert code == 0 and "gated" in out and "NOISY" in out


def test_run(capsys, pristine, tmp_path):
    x = tiny_net.samples(2)
    np.save(tmp_path / "x.npy", x)
    code, out, _ = call(
        capsys, "run", pristine, "--plain", "--json", "--input", tmp_path / "x.npy", "-o", tmp_path / "y.npz"
    )
    expected = tiny_net.reference(tiny_net.weights(), x)
    row = json.loads(out)
    assert code == 0 and row["classes"] == expected["logits"].argmax(1).tolist()
    with np.load(tmp_path / "y.npz", allow_pickle=False) as archive:
        np.testing.assert_allclose(archive["output/logits"], expected["logits"], rtol=1e-4, atol=1e-4)
        assert set(archive.files) == {"output/logits", "macs", "gate/stem", "gate/block.a", "gate/block.b"}
    assert call(capsys, "run", pristine, "--variant", "dense")[1].count("100.0% of the dense MACs") == 6


@pytest.mark.parametrize("content", [b"", b"not numpy", b"\x93NUMPY\x01\x00", b"PK\x03\x04"])
def test_bad_input_files_are_2(capsys, pristine, tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    code, _, err = call(capsys, "run", pristine, "--plain", "--input", tmp_path / "x.npy")
    assert code == 2 and "x.npy" in err


def test_pickles_are_never_loaded(capsys, pristine, tmp_path):
    np.save(tmp_path / "x.npy", np.array([print], dtype=object))
    assert call(capsys, "run", pristine, "--plain", "--input", tmp_path / "x.npy")[0] == 2
    np.savez(tmp_path / "x.npz", a=np.zeros(1))
    code, _, err = call(capsys, "run", pristine, "--plain", "--input", tmp_path / "x.npz")
    assert code == 2 and "several arrays" in err


def test_time_prints_the_convenient_and_the_bound_call(capsys, pristine):
    code, out, _ = call(capsys, "time", pristine, "--plain", "--duration", "0.05", "--json")
    row = json.loads(out)
    assert code == 0 and 0 < row["bound_ms"] < row["convenient_ms"]
    code, out, _ = call(capsys, "time", pristine, "--variant", "dense", "--duration", "0.05", "--batch", "2")
    assert code == 0 and "variant dense, batch 2" in out and "engine(x)" in out
    assert call(capsys, "time", pristine, "--plain", "--batch", "7")[0] == 2


@pytest.mark.parametrize("command", ["run", "self-test", "profile", "time"])
def test_every_command_that_loads_an_engine_takes_its_options(capsys, pristine, command):
    code, _, err = call(capsys, command, pristine, "--plain", "--isa", "avx2")
    assert code == 2 and "without an operator library" in err
    assert call(capsys, command, pristine, "--threads", "0")[0] == 2


def test_info(capsys, pristine):
    row = json.loads(call(capsys, "info", pristine, "--json")[1])
    assert row["manifest"]["name"] == "tiny" and row["device"]["cores"]
    assert "3 gated of 4 layers" in call(capsys, "info", pristine)[1]


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["profile", "x", "--threads", "many"]])
def test_usage_is_2(arguments):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2


def test_interrupt(capsys, pristine, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sanp_runtime.cli.info_command.open_bundle", interrupted)
    assert call(capsys, "info", pristine)[0] == 130


def test_as_a_module(pristine):
    path = os.pathsep.join([str(ROOT / "runtime"), str(ROOT / "targets")])
    command = [sys.executable, "-m", "sanp_runtime", "info", str(pristine)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("tiny:"), done.stderr


@pytest.fixture
def overflowing(tmp_path):
    """Finite inputs whose logits are not: squares of them leave float32. The first sample is harmless."""
    x = np.concatenate([tiny_net.samples(1), np.full((2, *tiny_net.samples(1).shape[1:]), 3e38, np.float32)])
    np.save(tmp_path / "huge.npy", x)
    return tmp_path / "huge.npy"


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_logits_that_are_not_finite_have_no_class(capsys, pristine, overflowing, tmp_path, json_flag):
    output = tmp_path / "y.npz"
    code, out, err = call(capsys, "run", pristine, "--plain", "--input", overflowing, "-o", output, *json_flag)
    assert (code, out) == (2, "") and not output.exists(), "no class is printed and nothing is written"
    assert "2 of 3 samples is NaN or infinite (sample 1, 2)" in err and err.count("\n") == 1


def test_a_profile_of_logits_that_are_not_finite_is_refused(pristine, overflowing):
    from sanp_runtime.engines.options import EngineOptions
    from sanp_runtime.profile.profile import profile
    from sanp_targets.errors import InputError

    with pytest.raises(InputError, match="NaN or infinite"):
        profile(pristine, EngineOptions(library=None), samples=np.load(overflowing), duration_s=0.01)


def test_json_of_a_number_that_json_lacks_names_it():
    from sanp_runtime.bundle.result_json import dumps
    from sanp_targets.errors import InputError

    for value in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(InputError, match=rf"samples\[1\]\.macs is {value}"):
            dumps({"name": "x", "samples": [{"macs": 1.0}, {"macs": value}]})
    assert json.loads(dumps({"a": [1.5, None]})) == {"a": [1.5, None]}


def test_a_board_needs_no_parser_for_toml(pristine):
    path = os.pathsep.join([str(ROOT / "runtime"), str(ROOT / "targets")])
    done = subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT_TOML, str(pristine)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "has no parser for it, expected 3.11 or the package tomli" in done.stdout
