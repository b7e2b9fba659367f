"""Channel gates for any convolutional network: what decides, the gated layer, and how layers are found."""

from __future__ import annotations

from sanp.gating.attach import GatingReport, SkippedLayer, gate, gated_layers
from sanp.gating.gated_conv import GatedConv
from sanp.gating.policies import Decision, GatePolicy
from sanp.gating.registry import POLICIES

__all__ = [
    "POLICIES",
    "Decision",
    "GatePolicy",
    "GatedConv",
    "GatingReport",
    "SkippedLayer",
    "gate",
    "gated_layers",
]
