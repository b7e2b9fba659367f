"""What a validation found, for a person, from its JSON: as it is here and as it comes from a board."""

from __future__ import annotations

from typing import Any, List, Mapping

from sanp_runtime.engines.proof import Proof

# Key in the JSON -> name of the level.
LEVELS = {"L0": "L0 replay", "L1": "L1 gates", "L2": "L2 task"}


def validation_lines(row: Mapping[str, Any]) -> List[str]:
    """One line for the kernels and one per level; L1 and the kernels only where there are gates."""
    lines = []
    if row["proof"] is not None:
        proof = Proof.from_json(row["proof"])
        lines.append(_line("kernels", proof.passed, proof.summary()))
    found = [(name, row[key]) for key, name in LEVELS.items() if row[key] is not None]
    return lines + [_line(name, level["passed"], level["summary"]) for name, level in found]


def failed_levels(row: Mapping[str, Any]) -> List[str]:
    """Names of the levels that failed."""
    return [name for key, name in LEVELS.items() if row[key] is not None and not row[key]["passed"]]


def _line(name: str, passed: bool, summary: str) -> str:
    return f"{name}: {'PASS' if passed else 'FAIL'}  {summary}"
