"""The levels of a validation as checks, and its accuracy beside an earlier one's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.regression.check import Check
from sanp_runtime.validate.text import levels_in
from sanp_targets.errors import InputError

# What level 2 measured, by its kind: the larger the better. Agreement has no number that could fall slowly.
_SCORES = {"accuracy": "accuracy", "metric": "engine"}


def level_checks(validation: Mapping[str, Any]) -> list[Check]:
    """A check per level of the JSON of a validation, and per budget of a bundle that has some."""
    return [
        Check(title, row["passed"], f"{title} {'passes' if row['passed'] else 'fails'}: {row['summary']}")
        for title, row in levels_in(validation).items()
    ]


def score_checks(now: Mapping[str, Any], before: Mapping[str, Any], max_regression: float) -> list[Check]:
    """One check of the engine's accuracy or metric beside an earlier one.

    max_regression: largest loss, of accuracy 0.005 is half a point. Raises InputError for validations of other samples
    or of another kind of level 2, and where outputs alone were compared.
    """
    kind = now["L2"]["kind"]
    for words, found, expected in (
        ("number of samples", now["samples"], before["samples"]),
        ("kind of level 2", kind, before["L2"]["kind"]),
        ("metric", now["L2"].get("metric"), before["L2"].get("metric")),
    ):
        if found != expected:
            raise InputError(
                f"the {words} is {found!r}, expected {expected!r} as in the baseline; validate with the same options"
            )
    if kind not in _SCORES:
        raise InputError(
            f"level 2 is {kind}, expected accuracy or a metric: agreement of outputs has no score that could fall; "
            "name one with --metric, or leave the baseline out, since the levels fail without it too"
        )
    new, old = now["L2"][_SCORES[kind]], before["L2"][_SCORES[kind]]
    kept = old is None or (new is not None and old - new <= max_regression + 1e-9)
    return [Check(kind, kept, f"{kind} {_number(old)} -> {_number(new)}, allowed loss {max_regression:g}")]


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.6g}"
