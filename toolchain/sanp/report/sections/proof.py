"""Which gated nodes were seen to run in our kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def data(results: Mapping[str, Any]) -> dict[str, Any] | None:
    """The proof that `profile` made; None without gates, where nothing is skipped."""
    proof = results["profile"]["proof"]
    return None if proof is None else {"proof": proof}
