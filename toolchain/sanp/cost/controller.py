"""The budget controller: turns the measured cost into the weight of the cost loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Control:
    """Constants of a `BudgetController`; goal and start are shares of the dense cost, ramp a share of the stage.

    start: where the target begins, the cost with every gate open. Of MACs that is nearly the dense cost; in time gates
    may cost a quarter of it, and a target below what the network costs closes at once what it has not learned to miss.
    """

    goal: float
    ramp: float = 0.5
    gain: float = 0.3
    least: float = -0.05
    most: float = 1.0
    window: int = 5
    start: float = 1.0


class BudgetController:
    """lambda = gain * (c_hat - target), clamped (arXiv 1910.08906 eq. 10, with a moving target and a larger gain).

    c_hat is the share of the dense cost that the hard, noise-free masks of the last batches have. The target falls from
    the start to the goal over the first part of the stage. Lambda never leaves the device. The gates integrate lambda
    (their bias moves at lr * lambda / (1 - momentum) per step), so any delay between cost and lambda turns into
    oscillation; hence a short window, and a new lambda in every step.

    Lambda ends above its target, because only an error holds against the cross-entropy that opens gates. An integral
    term fills while the target falls, and when it empties the learning rate is already too low to reopen gates: it
    ended below the budget.
    """

    def __init__(self, control: Control, device: torch.device) -> None:
        self.control = control
        self.cost = torch.full((), control.start, device=device)  # smoothed
        self.weight = torch.zeros((), device=device)  # lambda

    def target(self, progress: float) -> float:
        """Cost to aim for at this share (0 to 1) of the stage."""
        done = 1.0 if self.control.ramp <= 0 else min(1.0, progress / self.control.ramp)
        return self.control.start + (self.control.goal - self.control.start) * done

    def observe(self, cost: Tensor, progress: float) -> None:
        """Take in the mean cost of one batch (scalar tensor) and set lambda; progress: share of the stage done."""
        control = self.control
        self.cost += (cost.detach().float() - self.cost) / control.window
        wanted = control.gain * (self.cost - self.target(progress))
        torch.clamp(wanted, control.least, control.most, out=self.weight)  # in place: a recorded step reads it

    def state(self) -> dict[str, float]:
        """Plain numbers for the resume state; float32 values survive JSON exactly."""
        return {"cost": float(self.cost), "weight": float(self.weight)}

    def restore(self, state: dict[str, float]) -> None:
        """Inverse of `state`."""
        self.cost.fill_(state["cost"])
        self.weight.fill_(state["weight"])
