"""The budget controller: turns the measured cost into the weight of the cost loss."""

from __future__ import annotations

import torch
from torch import Tensor

from sanp.training.config import TrainConfig


class BudgetController:
    """lambda = gain * (c_hat - target), clamped (arXiv 1910.08906 eq. 10, with a moving target and a larger gain).

    c_hat is the share of the dense MACs that the hard, noise-free codes of the last batches cost. The target falls from
    1 to the budget plus a margin over the first part of the joint stage. Lambda never leaves the device. The gates
    integrate lambda (their bias moves at lr * lambda / (1 - momentum) per step), so any delay between cost and lambda
    turns into oscillation; hence a short window, and a new lambda in every step.

    The margin is there because codes cost a little less in evaluation than in training, and calibration can only close
    gates. Lambda itself ends above its target, because only an error holds against the cross-entropy that opens gates.
    An integral term fills while the target falls, and when it empties the learning rate is already too low to reopen
    gates: it ended below the budget.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        learned = config.policy not in ("fixed-k", "random")
        self.goal = min(1.0, config.budget + (config.margin if config.calibrate and learned else 0.0))
        self.cost = torch.ones((), device=device)  # smoothed
        self.weight = torch.zeros((), device=device)  # lambda

    def target(self, progress: float) -> float:
        """Cost to aim for at this share (0 to 1) of the joint stage."""
        config = self.config
        done = 1.0 if config.ramp <= 0 else min(1.0, progress / config.ramp)
        return 1.0 + (self.goal - 1.0) * done

    def observe(self, cost: Tensor, progress: float) -> None:
        """Take in the mean cost of one batch (scalar tensor) and set lambda; progress: share of the stage done."""
        config = self.config
        self.cost += (cost.detach().float() - self.cost) / config.window
        wanted = config.cost_gain * (self.cost - self.target(progress))
        self.weight = wanted.clamp(config.lambda_min, config.lambda_max)

    def state(self) -> dict[str, float]:
        """Plain numbers for the resume state; float32 values survive JSON exactly."""
        return {"cost": float(self.cost), "weight": float(self.weight)}

    def restore(self, state: dict[str, float]) -> None:
        """Inverse of `state`."""
        self.cost.fill_(state["cost"])
        self.weight.fill_(state["weight"])
