"""The budget controller: turns the measured cost into the weight of the cost loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sanp.training.config import TrainConfig


@dataclass
class BudgetController:
    """lambda = gain * (c_hat - target) + integral, clamped (arXiv 1910.08906 eq. 10, with additions).

    c_hat is the share of the dense MACs that the hard, noise-free codes of the last batches cost. The target falls from
    1 to the budget over the first part of the joint stage, and the gain is larger than the published one. The integral
    stops growing while lambda is at a bound.
    """

    config: TrainConfig
    cost: Tensor | None = None  # smoothed, stays on the training device until `update` reads it
    integral: float = 0.0
    weight: float = 0.0  # lambda
    measured: float = 1.0

    def target(self, progress: float) -> float:
        """Cost to aim for at this share (0 to 1) of the joint stage."""
        config = self.config
        done = 1.0 if config.ramp <= 0 else min(1.0, progress / config.ramp)
        return 1.0 + (config.budget - 1.0) * done

    def observe(self, cost: Tensor) -> None:
        """Take in the mean cost of one batch, a scalar on any device; no synchronisation."""
        if self.cost is None:
            self.cost = cost.detach().float().clone()
        else:
            self.cost += (cost.detach().float() - self.cost) / self.config.window

    def update(self, progress: float, epochs: float) -> float:
        """New lambda; `epochs` is the time since the last update in epochs. Reads the cost from the device."""
        if self.cost is None:
            return self.weight
        config = self.config
        self.measured = float(self.cost)
        error = self.measured - self.target(progress)
        wanted = config.cost_gain * error + self.integral
        inside = config.lambda_min < wanted < config.lambda_max
        if inside or (wanted > 0) != (error > 0):
            self.integral += config.cost_integral * error * epochs
        self.weight = min(max(wanted, config.lambda_min), config.lambda_max)
        return self.weight

    def state(self) -> dict[str, float | None]:
        """Plain numbers for the resume state."""
        cost = None if self.cost is None else float(self.cost)
        return {"cost": cost, "integral": self.integral, "weight": self.weight, "measured": self.measured}

    def restore(self, state: dict[str, float | None], device: torch.device) -> None:
        """Inverse of `state`."""
        self.cost = None if state["cost"] is None else torch.tensor(state["cost"], device=device)
        self.integral, self.weight = float(state["integral"] or 0.0), float(state["weight"] or 0.0)
        self.measured = float(state["measured"] or 0.0)
