"""JSON that somebody else wrote: parsed, and never nested so deeply that looking at it overflows the stack."""

from __future__ import annotations

import json
from typing import Any

# The deepest file of ours is a manifest with 8 levels; what walks or prints a value recurses once per level.
DEEPEST = 64


def parse_json(text: str) -> Any:
    """The value of a text; ValueError if it is not JSON or has more than 64 levels."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(_too_deep()) from error
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raise ValueError if a value of dictionaries and lists has more than 64 levels."""
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise ValueError(_too_deep())
        items = [item for item in level if isinstance(item, (dict, list))]
        level = [inner for item in items for inner in (item.values() if isinstance(item, dict) else item)]
        depth += 1


def _too_deep() -> str:
    return f"it is nested more than {DEEPEST} levels deep"
