"""What the sections call the variants of a bundle: a network without gates has no gates to speak of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp_runtime.contract import DENSE, GATED, MEASURED, OPEN, PARENT

_GATED = {
    PARENT: "before channels were removed",
    DENSE: "dense",
    OPEN: "gated, all gates open",
    GATED: "gated, as trained",
}
_UNGATED = {PARENT: "before channels were removed", DENSE: "as trained"}


def names(profile: Mapping[str, Any]) -> dict[str, str]:
    """Variant -> its name, for the variants of a profile, baseline first."""
    known = _GATED if profile["main"] == GATED else _UNGATED
    return {name: known[name] for name in MEASURED if name in profile["variants"]}


def colours(profile: Mapping[str, Any]) -> dict[str, str]:
    """Variant -> the class of the page that colours it: the network as trained has that of "gated" in every report."""
    main = profile["main"]
    return {name: GATED if name == main else DENSE if name == PARENT else name for name in names(profile)}


def baseline(profile: Mapping[str, Any]) -> str:
    """What the network is compared with, in words."""
    return "the network that it was made from" if profile["baseline"] == PARENT else "the same network without gates"
