"""From values that somebody wrote to a settings object, or one sentence that names the key."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sanp_targets.errors import ConfigError

Kind = TypeVar("Kind", bound=BaseModel)


def checked(kind: type[Kind], what: str, values: Mapping[str, Any]) -> Kind:
    """`kind(**values)`; ConfigError that says "<what> <key> is <value>" or which keys there are instead."""
    unknown = sorted(set(values) - set(kind.model_fields))
    if unknown:
        raise unknown_key(what, unknown[0], kind.model_fields)
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "value"
        raise ConfigError(
            f"{what} {key} is {first.get('input')!r}: {first['msg']}; see the option's description"
        ) from error


def unknown_key(what: str, key: str, known: Mapping[str, Any]) -> ConfigError:
    """The error for a key that does not exist, with the nearest name that does."""
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(known)) or 'none'}; remove it"
    return ConfigError(f"{what} has no option {key}, {hint}")
