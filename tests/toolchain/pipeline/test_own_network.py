"""A network by import path through every verb that needs one, and what happens when its code changes."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from sanp import checkpoint
from sanp.cli.app import main
from sanp_targets.errors import ConfigError, InputError
from tests.support.own_network import OwnNet

SETTINGS = """
[train]
pretrain_epochs = 2
image_size = 16
weights_except = ["fc"]
options = { warmup_epochs = 1, joint_epochs = 2 }
"""
NETWORK = """
import torch
from tests.support.own_network import OwnNet

def build(channels, num_classes):
    return OwnNet(num_classes, channels)
"""


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["sanp", *map(str, words), "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert not stop.value.code, printed.err
    return json.loads(printed.out)


def test_every_verb(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "sanp.toml").write_text(SETTINGS)
    (tmp_path / "foreign_net.py").write_text(NETWORK)
    torch.save({f"module.{name}": value for name, value in OwnNet(3, 10).state_dict().items()}, "w.pt")
    model = ["--model", "foreign_net:build", "--model-args", "channels=10"]
    run(monkeypatch, capsys, "train", *model, "--weights", "w.pt", "--budget", 0.95, "-c", "sanp.toml", "-o", "run")
    saved = "run/checkpoint.safetensors"
    run(monkeypatch, capsys, "export", saved, "-o", "net.onnx")
    run(monkeypatch, capsys, "compile", "net.onnx", "-o", "net.sanp")
    checked = run(monkeypatch, capsys, "validate", "net.sanp", "--checkpoint", saved)
    assert checked["passed"]
    assert run(monkeypatch, capsys, "analyze", saved)["samples"] == 597
    assert run(monkeypatch, capsys, "inspect", saved)["name"] == "foreign_net:build"
    # Its module has moved: the verbs that need it are told where.
    (tmp_path / "foreign_net.py").rename(tmp_path / "moved_net.py")
    sys.modules.pop("foreign_net")
    with pytest.raises(InputError, match="foreign_net cannot be imported"):
        checkpoint.load(saved)
    moved = ["--model", "moved_net:build"]
    run(monkeypatch, capsys, "export", saved, "-o", "again.onnx", *moved)
    run(monkeypatch, capsys, "validate", "net.sanp", "--checkpoint", saved, *moved)
    run(monkeypatch, capsys, "analyze", saved, *moved)
    assert (tmp_path / "again.onnx").is_file()


@pytest.fixture
def saved(tmp_path):
    from sanp.methods.registry import gate, train_settings

    config = train_settings(model="tests.support.own_network:OwnNet", model_args={"channels": 6}, image_size=16)
    model = gate(OwnNet(4, 6), torch.zeros(1, 3, 16, 16), config.method)
    checkpoint.save(tmp_path / "net.safetensors", model, config, num_classes=4)
    return tmp_path / "net.safetensors", model.eval()


def test_a_checkpoint_finds_its_factory_again(saved):
    path, model = saved
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(checkpoint.load(path).model(x), model(x))


def test_a_narrower_factory_is_told(saved):
    with pytest.raises(InputError, match=r"now builds another network \(.*stem.0 has the width \[3, 6\] and"):
        checkpoint.load(saved[0], model_args={"channels": 5})


def test_another_layer_now_is_told(saved, monkeypatch):
    before = OwnNet.__init__

    def changed(self, *args, **kwargs):
        before(self, *args, **kwargs)
        self.extra = torch.nn.Parameter(torch.zeros(3))

    monkeypatch.setattr(OwnNet, "__init__", changed)
    with pytest.raises(InputError, match=r"now builds another network .*extra is not in the file"):
        checkpoint.load(saved[0])


def test_a_built_in_backbone_takes_no_path(trained):
    with pytest.raises(InputError, match="not named by import path"):
        checkpoint.load(trained, "tests.support.own_network:OwnNet")
    with pytest.raises((ConfigError, InputError), match="import path"):
        checkpoint.load(trained, "resnet-18")


def test_classes_that_the_data_do_not_have(tmp_path):
    import sanp
    from sanp.methods.registry import train_settings

    settings = train_settings(
        model="tests.support.own_network:own_net", model_args={"num_classes": 4}, image_size=16, pretrain_epochs=0
    )
    with pytest.raises(ConfigError, match=r"logits \(2, 10\): the data set has 10 classes"):
        sanp.train(settings=settings, output=tmp_path / "run", progress=False)
