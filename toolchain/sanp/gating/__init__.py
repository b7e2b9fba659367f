"""What methods with gates share: the gated layer, the learned gate, and how layers are found."""

from __future__ import annotations

from sanp.gating.attach import GatingReport, SkippedLayer, attach_gates, gated_layers
from sanp.gating.forward import forward
from sanp.gating.gated_conv import GatedConv
from sanp.gating.policy import Decision, GatePolicy
from sanp.gating.saliency_gate import SaliencyGate

__all__ = [
    "Decision",
    "GatePolicy",
    "GatedConv",
    "GatingReport",
    "SaliencyGate",
    "SkippedLayer",
    "attach_gates",
    "forward",
    "gated_layers",
]
