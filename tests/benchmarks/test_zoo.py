"""The zoo without its libraries: the catalog, refusals, the stand-in for torchvision and the table."""

from __future__ import annotations

import json
import sys

import pytest
from torch import nn

from benchmarks.zoo import journey, run, times, torchvision_names
from benchmarks.zoo.catalog import ENTRIES
from benchmarks.zoo.journey import row_of
from benchmarks.zoo.table import markdown


def test_the_catalog_is_large_and_names_each_network_once():
    keys = [entry.key for entry in ENTRIES]
    assert len(keys) == len(set(keys)) >= 60
    asked = "efficientnet_b0 regnety_002 repvgg_a0 resnet10t ghostnet_100 mobilenetv4_conv_small vgg11_bn densenet121"
    assert {f"timm/{name}" for name in asked.split()} <= set(keys)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else -self.conv(x)


def test_errors_are_rows(monkeypatch):
    monkeypatch.setattr(journey.sanp, "gate", lambda *_: 1 / 0)
    assert row_of(Broken(), 8)["result"] == "crashed"
    monkeypatch.undo()
    row = row_of(Broken(), 8)
    assert row["result"] == "refused" and "cannot be traced" in row["why"]
    assert "**refused**" in markdown({"a/b": row})


def test_a_run_continues_its_file(tmp_path, monkeypatch, capsys):
    class Entry:
        key, name, size = "lib/net", "net", 8
        built = 0

        def build(self):
            Entry.built += 1
            return Broken()

    monkeypatch.setattr(run, "ENTRIES", (Entry(),))
    place = str(tmp_path / "zoo.json")
    assert run.main(["--json", place]) == 1 and run.main(["--json", place]) == 1 and Entry.built == 1
    assert run.main(["--json", place, "--again"]) == 1 and Entry.built == 2
    assert json.loads((tmp_path / "zoo.json").read_text())["networks"]["lib/net"]["result"] == "refused"
    capsys.readouterr()
    assert run.main(["--table", place]) == 0 and "| lib/net | 8 |" in capsys.readouterr().out


def test_names_of_torchvision_do_nothing(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(torchvision_names.importlib.util, "find_spec", lambda name: None)
    before = set(sys.modules)
    try:
        assert torchvision_names.stand_in() and torchvision_names.stand_in()
        from torchvision.ops.misc import FrozenBatchNorm2d
        from torchvision.transforms import InterpolationMode

        assert InterpolationMode.BILINEAR.value == "bilinear" and not isinstance(nn.ReLU(), FrozenBatchNorm2d)
        with pytest.raises(NotImplementedError, match="torchvision is not installed"):
            FrozenBatchNorm2d(3)
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


class Inverted(nn.Module):
    """A stem, one inverted residual block and a head."""

    def __init__(self):
        super().__init__()
        sizes = ((3, 8, 3, 1), (8, 24, 1, 1), (24, 24, 3, 24), (24, 8, 1, 1), (8, 16, 1, 1))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, k, padding=k // 2, groups=g, bias=False) for a, b, k, g in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b, _, _ in sizes)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            x = norm(conv(x))
            x = x if index == 3 else x.relu()
        return self.head(x.mean((2, 3)))


def test_a_network_is_timed_whole(tmp_path, monkeypatch, capsys):
    class Entry:
        key, name, size = "lib/net", "net", 12

        def build(self):
            return Inverted()

    monkeypatch.setattr(times, "ENTRIES", (Entry(),))
    file = tmp_path / "times.json"
    assert times.main(["--json", str(file), "--rounds", "2"]) == 0
    (row,) = json.loads(file.read_text())["networks"].values()
    assert row["blocks"] == 1 and row["gates"] == 3 and 0 < row["kept"] < 1
    assert min(row[variant] for variant in times.VARIANTS) > 0
    capsys.readouterr()
    assert times.main(["--table", str(file)]) == 0 and "| lib/net | 3 | 1 |" in capsys.readouterr().out
