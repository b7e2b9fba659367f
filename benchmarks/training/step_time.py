"""How much longer is a joint training step than a dense one? Interleaved, so that both meet the same disturbances.

python benchmarks/training/step_time.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from sanp import models
from sanp.cost_tracker import CostTracker
from sanp.gating import gate
from sanp.training import TrainConfig
from sanp.training.controller import BudgetController
from sanp.training.distributed import Workers
from sanp.training.stages import Joint, Stage


def step(stage: Stage, model: nn.Module, images: Tensor, labels: Tensor, index: int) -> float:
    """Seconds of CPU time of one optimizer step (wall time would count other programs)."""
    started = time.process_time()
    loss = stage.loss(model(images), labels)
    stage.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    stage.optimizer.step()
    stage.after_step(index)
    return time.process_time() - started


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
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(steps + 3):
        pair = step(dense, plain, images, labels, index), step(joint, gated, images, labels, index)
        if index >= 3:
            times[0].append(pair[0])
            times[1].append(pair[1])
    ratio = statistics.median(b / a for a, b in zip(*times))
    dense_ms, joint_ms = (1000 * statistics.median(column) for column in times)
    return {
        "model": model_name, "width": width, "image_size": size, "batch": 64, "steps": steps,
        "dense_ms": dense_ms, "joint_ms": joint_ms, "ratio": ratio,
    }  # fmt: skip


def main() -> None:
    """Measure three networks on one thread and write results/step-time.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = (("m-cifarnet", 0.25, 16), ("m-cifarnet", 0.25, 32), ("m-cifarnet", 1.0, 32), ("resnet-18", 0.25, 32))
    rows = []
    for name, width, size in cases:
        rows.append(measure(name, width, size, arguments.steps))
        print(f"{name} x{width} at {size}: joint / dense = {rows[-1]['ratio']:.2f}", flush=True)
    text = json.dumps({"torch": torch.__version__, "threads": 1, "rows": rows}, indent=1)
    (arguments.output / "step-time.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
