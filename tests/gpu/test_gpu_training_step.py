"""A training step that is replayed as a CUDA graph against the same step started from Python: losses and gradients."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu import training_steps
from sanp.methods.registry import train_settings
from sanp.training.loop import Loop

STEPS = 4
DEVICE = "cuda"
# Of the largest value of a tensor. The same kernels run on the same numbers, so only cuDNN's choice of them may differ.
TOLERANCES = {"float32": 1e-3, "bfloat16": 2e-2}


@pytest.fixture
def compared(monkeypatch):
    """Every step is done from Python, then from the same state as the loop does it: (stage, replayed, difference).

    The difference is the largest of any tensor over its largest value: loss and hits, gradients, running statistics.
    """
    plain, rows = Loop._learn, []

    def both(self, active, batch):
        seed, buffers = len(rows) + 1, [(buffer, buffer.clone()) for buffer in active.network.buffers()]
        torch.manual_seed(seed)
        expected = [self._forward_and_backward(active, batch).clone(), *left_behind(active)]
        for buffer, before in buffers:
            buffer.copy_(before)
        for parameter in active.trained():
            parameter.grad = None
        torch.manual_seed(seed)
        result = plain(self, active, batch)
        found = [result, *left_behind(active)]
        assert len(found) == len(expected)
        rows.append((active.stage.name, self._recorded is not None, max(map(difference, found, expected))))
        return result

    monkeypatch.setattr(Loop, "_learn", both)
    return rows


def left_behind(active):
    """Copies of the gradients of a step and of the statistics after it."""
    gradients = [parameter.grad for parameter in active.trained() if parameter.grad is not None]
    assert gradients
    statistics = [buffer for buffer in active.network.buffers() if buffer.is_floating_point()]
    return [tensor.clone() for tensor in (*gradients, *statistics)]


def difference(found, expected):
    assert torch.isfinite(found).all()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_replayed_step_equals_pythons(compared, monkeypatch, precision):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    settings = train_settings(
        model="resnet-18", width=0.25, batch_size=32, precision=precision, device=DEVICE, dataset="mixcues",
        lr=0.01, joint_lr=0.01, cuda_graph=True, augment=False,
    )  # fmt: skip
    training_steps.measure(settings, STEPS, 1)
    assert {stage for stage, _, _ in compared} == {"pretrain", "joint"}
    assert sum(replayed for _, replayed, _ in compared) == 2 * 2 * (STEPS - 1)  # the first of each epoch is not
    wrong = [row for row in compared if not row[2] <= TOLERANCES[precision]]
    assert not wrong
