"""Switches that act on every gate of a network at once: densities, thresholds and mode labels."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from sanp.gating.control_policies import OracleGate, RandomGate
from sanp.gating.policies import FixedKGate, SanpGate


def set_density(model: nn.Module, density: float) -> None:
    """Set the share of open channels of every fixed-k and random gate; noted in `model.gating` for checkpoints."""
    report = getattr(model, "gating", None)
    if report is not None and report.policy in ("fixed-k", "random"):
        model.gating = replace(report, options={**report.options, "density": density})
    for module in model.modules():
        if isinstance(module, (FixedKGate, RandomGate)):
            module.set_density(density)


def set_threshold(model: nn.Module, threshold: float) -> None:
    """A channel is open in evaluation when its saliency exceeds this value, in every layer."""
    for module in model.modules():
        if isinstance(module, SanpGate):
            module.threshold.fill_(threshold)


def set_anneal_factor(model: nn.Module, anneal_factor: float) -> None:
    """Scale the training noise and the share of soft gates of every learned gate: 1 = as configured, 0 = hard."""
    for module in model.modules():
        if isinstance(module, SanpGate):
            module.anneal_factor = anneal_factor


def tell_modes(model: nn.Module, modes: Tensor) -> None:
    """Give mode labels, int64 [N], to every oracle gate for the next forward pass."""
    for module in model.modules():
        if isinstance(module, OracleGate):
            module.modes = modes
