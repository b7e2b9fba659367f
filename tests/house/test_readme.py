"""What the README shows works as it is written there."""

import re
from pathlib import Path

import numpy as np
import torch

README = Path(__file__).parents[2] / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    example = torch.randn(8, 3, 24, 24)

    class Backbone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            block = torch.nn.Module()
            block.conv1, block.bn1 = torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8)
            block.conv2, block.bn2 = torch.nn.Conv2d(8, 8, 3, bias=False), torch.nn.BatchNorm2d(8)
            self.layer1 = torch.nn.ModuleList([block])
            self.fc = torch.nn.Linear(8, 5)

        def forward(self, x):
            block = self.layer1[0]
            x = block.bn1(block.conv1(x)).relu()
            return self.fc(block.bn2(block.conv2(x)).relu().mean((2, 3)))

    scope = {
        "network": Backbone(),
        "train": [(example, torch.arange(8) % 5)] * 2,
        "validation": [(example, torch.arange(8) % 5)],
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


def test_it_is_read_in_five_minutes():
    text = README.read_text(encoding="utf-8")
    assert len(text.split()) < 700
    prose = re.sub(r"(?s)```.*?```|(?m:^(?:    |\||#|!).*$)", "\n\n", text)
    sentences = re.split(r"(?<=[.!?:])\s+|\n\s*\n|\n- ", prose)
    too_long = [sentence for sentence in sentences if len(sentence.split()) > 30]
    assert not too_long, too_long[0]
