"""What the sections call the variants of a bundle: a network without gates has no gates to speak of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp_runtime.contract import DENSE, FLOAT_DENSE, FLOAT_GATED, GATED, MEASURED, OPEN, PARENT

_GATED = {
    PARENT: "before channels were removed",
    DENSE: "dense",
    OPEN: "gated, all gates open",
    GATED: "gated, as trained",
}
_BYTES = {
    FLOAT_DENSE: "float32 dense",
    FLOAT_GATED: "float32 gated",
    DENSE: "int8 dense",
    OPEN: "int8 gated, all gates open",
    GATED: "int8 gated, as trained",
}
_UNGATED = {PARENT: "before channels were removed", DENSE: "as trained"}


def names(profile: Mapping[str, Any]) -> dict[str, str]:
    """Variant -> its name, for the variants of a profile, baseline first."""
    known = _GATED if profile["main"] == GATED else _UNGATED
    known = _BYTES if FLOAT_GATED in profile["variants"] else known
    return {name: known[name] for name in MEASURED if name in profile["variants"]}


def colours(profile: Mapping[str, Any]) -> dict[str, str]:
    """Variant -> the class of the page that colours it: the network as trained has that of "gated" in every report."""
    pale = {PARENT: DENSE, FLOAT_DENSE: "float", FLOAT_GATED: "float"}
    return {name: GATED if name == profile["main"] else pale.get(name, name) for name in names(profile)}


def baseline(profile: Mapping[str, Any]) -> str:
    """What the network is compared with, in words."""
    if profile["baseline"] == PARENT:
        return "the network that it was made from"
    return "the same network without gates" + (", both int8" if FLOAT_GATED in profile["variants"] else "")
