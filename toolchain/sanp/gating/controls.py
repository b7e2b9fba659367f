"""Switches that act on every gate of a network at once: densities, thresholds and the fading of the training noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, runtime_checkable

from torch import nn

from sanp.gating.attach import GatingReport, gated_layers
from sanp.gating.saliency_gate import SaliencyGate


@runtime_checkable
class HasDensity(Protocol):
    """A gate that keeps a given share of its channels open."""

    def set_density(self, density: float) -> None:
        """Open this share of the channels from now on, (0, 1]."""
        ...


@runtime_checkable
class HasCount(Protocol):
    """A gate that keeps at most a given number of channels open."""

    def set_count(self, count: int) -> None:
        """Keep at most this many channels open from now on."""
        ...


def set_density(network: nn.Module, density: float, channels: Mapping[str, int] | None = None) -> None:
    """Set the share of open channels of every gate that has one, and the number of those that count whole channels.

    channels: layer name -> open channels; layers that are not named keep ceil(density * C_out). Both are noted in
    `network.gating`, for checkpoints.
    """
    gates = {name: layer.gate for name, layer in gated_layers(network).items() if isinstance(layer.gate, HasDensity)}
    counts: dict[str, int] = {}
    for name, gate in gates.items():
        gate.set_density(density)
        if channels and name in channels and isinstance(gate, HasCount):
            gate.set_count(channels[name])
            counts[name] = channels[name]
    report = getattr(network, "gating", None)
    if gates and isinstance(report, GatingReport):
        options = {**report.options, "density": density}
        if counts or "channels" in options:
            options["channels"] = counts
        network.gating = replace(report, options=options)  # type: ignore[assignment]


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
