"""What a validation found, for a person, from its JSON: as it is here and as it comes from a board."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from sanp_runtime.engines.proof import Proof

# Key in the JSON -> name of the level.
LEVELS = {"L0": "L0 replay", "L1": "L1 gates", "L2": "L2 task"}


def validation_lines(row: Mapping[str, Any]) -> List[str]:
    """One line for the kernels and one per level; L1 and the kernels only where there are gates."""
    lines = []
    if row["proof"] is not None:
        proof = Proof.from_json(row["proof"])
        lines.append(_line("kernels", proof.passed, proof.summary()))
    return lines + [_line(name, level["passed"], level["summary"]) for name, level in levels_in(row).items()]


def failed_levels(row: Mapping[str, Any]) -> List[str]:
    """Names of the levels that failed."""
    return [name for name, level in levels_in(row).items() if not level["passed"]]


def levels_in(row: Mapping[str, Any]) -> Dict[str, Mapping[str, Any]]:
    """Name -> JSON of every level that there is; each further size of images is one, and each budget of a bundle."""
    found = {name: row[key] for key, name in LEVELS.items() if row[key] is not None}
    found.update({f"size {other['size']}": other for other in row.get("sizes", ())})
    return {**found, **{f"budget {budget['budget']:g}": budget for budget in row.get("budgets", ())}}


def _line(name: str, passed: bool, summary: str) -> str:
    return f"{name}: {'PASS' if passed else 'FAIL'}  {summary}"
