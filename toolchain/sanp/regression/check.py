"""One thing that was looked at, and whether it is as it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sanp_targets.errors import SanpError, ValidationError


@dataclass(frozen=True)
class Check:
    """name: stable from run to run, so that a server can follow it; message: what was found, also if it passed.

    error: what stood in the way of looking, if that was so.
    """

    name: str
    passed: bool
    message: str
    error: SanpError | None = None


def require_passed(checks: Sequence[Check], baseline: object) -> None:
    """ValidationError (exit code 1) if a check failed; what stood in the way of one, if that was so."""
    for check in checks:
        if check.error is not None:
            raise check.error
    failed = [check for check in checks if not check.passed]
    if failed:
        raise ValidationError(
            f"{'; '.join(check.message for check in failed)} (baseline {baseline}); find the change that caused it, or "
            "write a new baseline if it is wanted"
        )
