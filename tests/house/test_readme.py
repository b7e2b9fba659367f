"""What the README shows works as it is written there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

README = Path(__file__).parents[2] / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def commands():
    lines = re.findall(r"(?m)^    (sanp .+)$", README.read_text(encoding="utf-8"))
    return [shlex.split(line.split("  #")[0]) for line in lines]


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    example = torch.randn(8, 3, 24, 24)

    class Backbone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            block = torch.nn.Module()
            block.conv1, block.bn1 = torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8)
            self.layer1 = torch.nn.ModuleList([block])
            self.fc = torch.nn.Linear(8, 5)

        def forward(self, x):
            block = self.layer1[0]
            return self.fc(block.bn1(block.conv1(x)).relu().mean((2, 3)))

    scope = {
        "backbone": Backbone().eval(),
        "example_input": example,
        "images": example.numpy(),
        "labels": np.arange(8) % 5,
        "x": example.numpy(),
        "mask": np.ones((1, 8), "f"),
    }
    found = blocks("python")
    assert len(found) >= 2
    for block in found:
        exec(block, scope)
    assert scope["result"].logits.shape == (8, 5)


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_commands_name_verbs_and_options_that_exist(command):
    from typer.main import get_command

    from sanp.cli.app import app

    verb = get_command(app).commands[command[1]]
    known = {option for parameter in verb.params for option in parameter.opts}
    for word in command[2:]:
        if word.startswith("-"):
            assert word in known, f"{word} of {' '.join(command)}"


def test_links_lead_somewhere():
    for page in README.parent.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
