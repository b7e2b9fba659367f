"""Results as JSON that every reader accepts: it has no NaN and no infinity, and a result with one is an error."""

from __future__ import annotations

import json
import math
from typing import Any, Callable, Optional

from sanp_targets.errors import InputError


def dumps(value: Any, indent: Optional[int] = 1, default: Optional[Callable[[Any], Any]] = None) -> str:
    """The text of a result. Raises InputError naming the first number that is not finite."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False, default=default)
    except ValueError as error:
        place = _first_not_finite(value, "")
        if place is None:
            raise
        raise InputError(
            f"the result cannot be written as JSON: {place}, expected finite numbers; check that the input is "
            "normalised as the bundle says and that the network's own answers are finite (`sanp validate`)"
        ) from error


def _first_not_finite(value: Any, place: str) -> Optional[str]:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place or 'it'} is {value}"
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in rows:
        found = _first_not_finite(item, f"{place}[{key}]" if isinstance(key, int) else f"{place}.{key}".lstrip("."))
        if found is not None:
            return found
    return None
