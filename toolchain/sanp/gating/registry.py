"""Gate policies by name."""

from __future__ import annotations

from sanp.gating.control_policies import OracleGate, RandomGate
from sanp.gating.policies import FixedKGate, GatePolicy, SanpGate, StaticPolicy

POLICIES: dict[str, type[GatePolicy]] = {
    "sanp": SanpGate,
    "fixed-k": FixedKGate,
    "static": StaticPolicy,
    "random": RandomGate,
    "oracle": OracleGate,
}
