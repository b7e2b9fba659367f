"""How much longer is a joint training step than a dense one? Short blocks in turn, so that both are disturbed alike.

python -m benchmarks.training.step_time
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.command_line import parser
from benchmarks.training.rows import RESULTS, write_rows
from sanp import models
from sanp.cost.tracker import CostTracker
from sanp.gating import gate
from sanp.training import TrainConfig
from sanp.training.controller import BudgetController
from sanp.training.distributed import Workers
from sanp.training.stages import Joint, Stage

BLOCK = 5


def step(stage: Stage, model: nn.Module, images: Tensor, labels: Tensor, index: int) -> float:
    """Seconds of CPU time of one optimizer step (wall time would count other programs)."""
    started = time.process_time()
    loss = stage.loss(model(images), labels)
    stage.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0, foreach=True)
    stage.optimizer.step()
    stage.after_step(index)
    return time.process_time() - started


def block(stage: Stage, model: nn.Module, images: Tensor, labels: Tensor, index: int) -> float:
    """Median of a few steps; the first is left out, because it finds the caches full of the other network."""
    return statistics.median([step(stage, model, images, labels, index + k) for k in range(BLOCK)][1:])


def measure(model_name: str, width: float, size: int, steps: int) -> dict[str, float | str | int]:
    """One row: medians in ms and their ratio."""
    torch.manual_seed(0)
    device = torch.device("cpu")
    images, labels = torch.randn(64, 3, size, size), torch.randint(0, 10, (64,))
    config = TrainConfig(width=width, image_size=size)
    plain = models.build(model_name, width=width).train()
    gated = gate(plain, images[:1], **config.gate_options()).train()
    dense = Stage(config, plain, 1, steps, 0.01)
    controller = BudgetController(config, device)
    joint = Joint(config, gated, 1, steps, 0.01, CostTracker(gated, images[:1]), controller, Workers(0, 1, device))
    blocks: list[tuple[float, float]] = []
    for index in range(0, steps + BLOCK, BLOCK):
        pair = block(dense, plain, images, labels, index), block(joint, gated, images, labels, index)
        if index:  # the first of each warms up
            blocks.append(pair)
    ratio = statistics.median(b / a for a, b in blocks)
    dense_ms, joint_ms = (1000 * statistics.median(column) for column in zip(*blocks))
    return {
        "model": model_name, "width": width, "image_size": size, "batch": 64, "steps": steps,
        "dense_ms": dense_ms, "joint_ms": joint_ms, "ratio": ratio,
    }  # fmt: skip


def main() -> None:
    """Measure the networks on one thread and write results/step-time.json."""
    made = parser(__doc__)
    made.add_argument("--output", type=Path, default=RESULTS)
    made.add_argument("--steps", type=int, default=40)
    arguments = made.parse_args()
    torch.set_num_threads(1)
    cases = (("m-cifarnet", 0.25, 16), *((name, 0.25, 32) for name in models.NAMES), ("m-cifarnet", 1.0, 32))
    rows = []
    for name, width, size in cases:
        rows.append(measure(name, width, size, arguments.steps if width < 1 else 3 * BLOCK))
        print(f"{name} x{width} at {size}: joint / dense = {rows[-1]['ratio']:.2f}", flush=True)
        write_rows(arguments.output / "step-time.json", rows)


if __name__ == "__main__":
    main()
