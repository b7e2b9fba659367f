"""`sanp targets`: the three actions, as text and as JSON, and what a person can get wrong."""

from __future__ import annotations

import json

import pytest

from sanp_targets.target_files import package_folder
from tests.targets.conftest import JETSON, plant


def test_list(sanp, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    row = json.loads(sanp("targets", "list", "--json").stdout)
    assert [item["name"] for item in row["targets"]][:2] == ["arm64-cpu", "raspberry-pi-5"]
    assert row["folder"] == str(tmp_path / "sanp/targets")
    shown = sanp("targets", "list").stdout
    assert all(item["name"] in shown for item in row["targets"]) and row["folder"] in shown.replace("\n", "")


def test_show_has_a_source_for_each_number(sanp):
    row = json.loads(sanp("targets", "show", "jetson-orin-nx", "--json").stdout)
    assert row["gpu"]["sm"] == {"value": 87, "source": "https://developer.nvidia.com/cuda-gpus"}
    assert row["gpu"]["releases"][-1]["tensorrt"] == "10.16.2" and "sources" not in row
    text = sanp("targets", "show", str(package_folder() / "raspberry-pi-5.toml")).stdout
    assert "cpu.bandwidth_gb_s = 17.1  (https://" in text and "asimddp" in text
    assert json.loads(sanp("targets", "show", "x86-cuda", "--json").stdout)["gpu"] == {"releases": []}


def test_probe_of_another_root(sanp, tmp_path):
    plant(tmp_path, JETSON)
    row = json.loads(sanp("targets", "probe", "--root", tmp_path, "--json").stdout)
    assert row["best"] == "jetson-orin-nano" and row["l4t"] == "36.3.0" and row["jetpack"] == "JetPack 6.0"
    text = sanp("targets", "probe", "--root", tmp_path).stdout
    assert "fits    jetson-orin-nano" in text and "closest: jetson-orin-nano" in text and "JetPack: JetPack 6.0" in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fly"], 2, "the action is 'fly', expected one of list, show, probe"),
        (["show"], 2, "without a name, expected one"),
        (["list", "x86-cpu"], 2, "with the name 'x86-cpu', expected none"),
        (["show", "x86"], 3, "did you mean 'x86-cpu'"),
        (["show", "./none.toml"], 2, "cannot be read"),
        (["probe", "--root", "/none"], 2, "is no folder"),
    ],
)
def test_mistakes(sanp, arguments, code, words):
    result = sanp("targets", *arguments)
    assert result.returncode == code and words in result.stderr.replace("\n", "") and result.stdout == ""


def test_a_broken_file_of_the_user_is_named_by_every_verb_that_reads_it(sanp, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "sanp/targets/mine.toml"
    path.parent.mkdir(parents=True)
    path.write_text('nme = "x"\n')
    for line in (["targets", "list"], ["targets", "probe"], ["doctor", "--json"]):
        result = sanp(*line)
        assert f"{path}: the file has the key 'nme'" in (result.stderr + result.stdout).replace("\n", ""), line
