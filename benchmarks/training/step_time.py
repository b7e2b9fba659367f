"""How much longer is a joint training step than a dense one? Short blocks in turn, so that both are disturbed alike.

python -m benchmarks.training.step_time
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from benchmarks.command_line import parser
from benchmarks.training.rows import RESULTS, write_rows
from sanp import models
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.data.batch import Batch
from sanp.methods.registry import create
from sanp.methods.stage import Context, Length, Stage
from sanp.settings.train import TrainSettings
from sanp.training.active_stage import ActiveStage
from sanp.training.processes import Processes

BLOCK = 5


def step(stage: ActiveStage, batch: Batch, index: int) -> float:
    """Seconds of CPU time of one optimizer step (wall time would count other programs)."""
    started = time.process_time()
    loss = stage.task.loss(stage.network(batch.images), batch)
    stage.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(stage.trained(), 5.0, foreach=True)
    stage.optimizer.step()
    stage.task.after_step(index)
    return time.process_time() - started


def block(stage: ActiveStage, batch: Batch, index: int) -> float:
    """Median of a few steps; the first is left out, because it finds the caches full of the other network."""
    return statistics.median([step(stage, batch, index + k) for k in range(BLOCK)][1:])


def active(stage: Stage, network: nn.Module, settings: TrainSettings, batch: Batch, steps: int) -> ActiveStage:
    """A stage at work on a network, on one CPU."""
    example, alone = batch.images[:1], Processes(0, 1, torch.device("cpu"))
    full = CostTracker(network, example).dense

    def one(most: int) -> Iterator[Batch]:
        return iter([batch])

    context = Context(settings, network, example, MacCounter, full, one, one, alone.mean)
    return ActiveStage(stage, context, Length(1, steps), alone)


def measure(model_name: str, width: float, size: int, steps: int) -> dict[str, float | str | int]:
    """One row: medians in ms and their ratio."""
    torch.manual_seed(0)
    batch = Batch(torch.randn(64, 3, size, size), torch.randint(0, 10, (64,)))
    settings, method = TrainSettings(width=width, image_size=size, lr=0.01), create("sanp", {"joint_lr": 0.01})
    plain = models.build(model_name, width=width).train()
    pretrain, _, joint_stage = method.stages(settings)
    gated = method.attach(plain, batch.images[:1]).train()
    dense, joint = (
        active(stage, network, settings, batch, steps) for stage, network in ((pretrain, plain), (joint_stage, gated))
    )
    blocks: list[tuple[float, float]] = []
    for index in range(0, steps + BLOCK, BLOCK):
        pair = block(dense, batch, index), block(joint, batch, index)
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
