"""Switches that act on every gate of a network at once: densities, thresholds and the fading of the training noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

from torch import nn

from sanp.gating.attach import GatingReport
from sanp.gating.saliency_gate import SaliencyGate


@runtime_checkable
class HasDensity(Protocol):
    """A gate that keeps a given share of its channels open."""

    def set_density(self, density: float) -> None:
        """Open this share of the channels from now on, (0, 1]."""
        ...


def set_density(network: nn.Module, density: float) -> None:
    """Set the share of open channels of every gate that has one; noted in `network.gating` for checkpoints."""
    gates = [module for module in network.modules() if isinstance(module, HasDensity)]
    for gate in gates:
        gate.set_density(density)
    report = getattr(network, "gating", None)
    if gates and isinstance(report, GatingReport):
        network.gating = replace(report, options={**report.options, "density": density})  # type: ignore[assignment]


def set_threshold(network: nn.Module, threshold: float) -> None:
    """A channel is open in evaluation when its saliency exceeds this value, in every layer."""
    for module in network.modules():
        if isinstance(module, SaliencyGate):
            module.threshold.fill_(threshold)


def set_anneal_factor(network: nn.Module, anneal_factor: float) -> None:
    """Scale the training noise and the share of soft gates of every learned gate: 1 = as configured, 0 = hard."""
    for module in network.modules():
        if isinstance(module, SaliencyGate):
            module.anneal_factor = anneal_factor
