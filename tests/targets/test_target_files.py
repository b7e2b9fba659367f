"""Targets as TOML files: the form, files of the user, and every mistake as a sentence that names the file."""

from __future__ import annotations

import json

import pytest

from sanp_targets import target_files, targets
from sanp_targets.errors import ConfigError, TargetError

GOOD = """
name = "my-board"
description = "ours"
backend = "tensorrt"
arch = "aarch64"
isa = ["asimd"]
boards = ["Acme"]

[cpu]
cores = { value = 4, source = "data sheet" }
max_mhz = { value = 1800, source = "data sheet" }

[gpu]
sm = { value = 87, source = "vendor" }
fp32_tflops = { value = 1.5, source = "vendor" }

[[releases]]
name = "R1"
tensorrt = "10.3.0"
cuda = "12.6"
python = "3.10"
l4t = ["36.4"]
source = "vendor"
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's folder of targets."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config/sanp/targets"
    folder.mkdir(parents=True)
    return folder


def test_a_file_of_the_user_is_a_target_like_any_other(home):
    (home / "board.toml").write_text(GOOD)
    (home / "notes.txt").write_text("not a target")
    target = targets.resolve("my-board")
    assert "my-board" in targets.names() and target.file.endswith("board.toml")
    assert (target.gpu.sm, target.gpu.fp32_tflops, target.cpu.cores, target.cpu.max_mhz) == (87, 1.5, 4, 1800.0)
    assert target.gpu.releases[0].l4t == ("36.4",) and target.sources["gpu.sm"] == "vendor"
    json.dumps(target.to_json(), allow_nan=False)
    with pytest.raises(TargetError, match="did you mean 'my-board'"):
        targets.resolve("my-bord")


def test_a_path_is_a_target_too(home, tmp_path):
    (tmp_path / "own.toml").write_text(GOOD)
    assert targets.resolve(str(tmp_path / "own.toml")).name == "my-board"
    (home / "board.toml").write_text(GOOD)
    assert targets.resolve(str(home / "board.toml")) == targets.resolve("my-board"), "its own name is no duplicate"
    with pytest.raises(ConfigError, match=r"own.toml: the name 'my-board' is that of .*board.toml too"):
        targets.resolve(str(tmp_path / "own.toml"))
    with pytest.raises(ConfigError, match="cannot be read"):
        targets.resolve("./missing.toml")


@pytest.mark.parametrize("name", ["my-board", "x86-cpu"])
def test_two_files_of_one_name(home, name):
    (home / "a.toml").write_text(GOOD.replace("my-board", name))
    (home / "b.toml").write_text(GOOD.replace("my-board", name))
    with pytest.raises(ConfigError, match=rf"the name '{name}' is that of .*\.toml too, .*rename one"):
        targets.resolve("arm64-cpu")


def test_without_a_setting_the_folder_is_in_the_home(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert target_files.user_folder() == tmp_path / ".config/sanp/targets"


MISTAKES = {
    "unknown key": (
        'isa = ["asimd"]',
        'isas = ["asimd"]',
        r"the file has the key 'isas', expected some of .*isa",
    ),
    "unknown number": ("cores = {", "core = {", r"\[cpu\] has the key 'core', expected some of .*cores"),
    "no source": ('sm = { value = 87, source = "vendor" }', "sm = 87", r"gpu.sm is 87, expected the number with its"),
    "empty source": ('value = 87, source = "vendor"', 'value = 87, source = " "', r"gpu.sm.source is ' ', expected a"),
    "text for a number": ("value = 87", 'value = "87"', r"gpu.sm is '87', expected a positive integer"),
    "truth for a number": ("value = 4,", "value = true,", r"cpu.cores is True, expected a positive integer"),
    "fraction of a core": ("value = 4,", "value = 4.5,", r"cpu.cores is 4.5, expected a positive integer"),
    "negative": ("value = 1.5", "value = -1.5", r"gpu.fp32_tflops is -1.5, expected a positive number"),
    "not finite": ("value = 1.5", "value = inf", r"gpu.fp32_tflops is inf, expected a positive number"),
    "no name": ('name = "my-board"', "", r"name is missing, expected a text"),
    "name of this machine": ('"my-board"', '"host"', r"name is 'host', expected lower-case"),
    "name with a slash": ('"my-board"', '"a/b"', r"name is 'a/b', expected lower-case"),
    "backend": ('"tensorrt"', '"tflite"', r"backend is 'tflite', expected one of onnxruntime, tensorrt"),
    "architecture": ('"aarch64"', '"riscv64"', r"arch is 'riscv64', expected one of x86_64, aarch64"),
    "GPU of a processor": ('"tensorrt"', '"onnxruntime"', r"'onnxruntime' with a table \[gpu\]"),
    "text for a list": ('["Acme"]', '"Acme"', r"boards is 'Acme', expected a list of texts"),
    "text for a table": ("[cpu]", "cpu = 1\n[gpu2]", r"the file has the key 'gpu2'"),
    "release without version": ('tensorrt = "10.3.0"', "", r"releases.tensorrt is missing"),
    "no TOML": ("[cpu]", "[cpu", r"is not valid TOML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(tmp_path, mistake):
    before, after, words = MISTAKES[mistake]
    assert before in GOOD
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace(before, after, 1))
    with pytest.raises(ConfigError, match=words) as error:
        target_files.read_target(path)
    assert str(error.value).startswith(f"{path}: ") and error.value.exit_code == 2


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = [" * 5000, b"gpu = 3\n" + GOOD.encode(), b"\x00"])
def test_garbage(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        target_files.read_target(path)


def test_the_files_are_in_the_package_and_complete():
    """One per device, named like its target, with a source for every number."""
    files = sorted(target_files.package_folder().glob("*.toml"))
    assert {"x86-cpu", "x86-cpu-avx2", "x86-cpu-avx512", "x86-cpu-vnni", "arm64-cpu", "x86-cuda", "jetson-orin-nano",
            "jetson-orin-nx", "jetson-agx-orin", "jetson-xavier-nx", "jetson-agx-xavier", "jetson-thor",
            "raspberry-pi-5"} == {path.stem for path in files}  # fmt: skip
    for path in files:
        target = target_files.read_target(path)
        assert target.name == path.stem
        stated = [key for part in ("cpu", "gpu") for key, value in (target.to_json()[part] or {}).items()
                  if value is not None and key != "releases"]  # fmt: skip
        assert len(stated) == len(target.sources) and all(target.sources.values())
