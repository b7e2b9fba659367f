"""The settings file: TOML with a section per verb; flags override it; unknown sections and keys are errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sanp.settings.base import Chosen, Settings, fields_of, from_nested, nested
from sanp_runtime.bundle.json_text import check_depth
from sanp_targets.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECTIONS = ("train", "export", "compile", "validate", "profile", "analyze", "report", "demo", "compare")


def read_file(path: Path | None) -> dict[str, dict[str, Any]]:
    """Section -> its table, {} without a file; ConfigError for bad TOML, no such file, unknown sections."""
    if path is None:
        return {}
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        check_depth(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from error
    except (ValueError, RecursionError) as error:  # TOML, UTF-8, and the depth of tables
        raise ConfigError(f"{path}: is not valid TOML ({error}); correct that line") from error
    for name, table in content.items():
        if name not in SECTIONS:
            raise ConfigError(f"{path}: [{name}] is not a section, expected one of {', '.join(SECTIONS)}; rename it")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name} is {table!r}, expected a table [{name}]; correct it")
    return content


def resolve(
    kind: type[Chosen],
    path: Path | None,
    flags: Mapping[str, Any],
    make: Callable[[Mapping[str, Any]], Chosen] | None = None,
) -> Chosen:
    """Settings from defaults, then the file's section, then flags by flat name (None = not given).

    make: builds the object of the nested values instead of the class itself. Raises ConfigError naming the section and
    the key.
    """
    given = nested(kind, {name: value for name, value in flags.items() if value is not None})
    values = _merged(read_file(path).get(kind.section, {}), given)
    return from_nested(kind, values) if make is None else make(values)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def listing(kind: type[Settings]) -> str:
    """Every setting with its default and meaning, as a settings file; settings without a default are comments."""
    return "\n".join(settings_lines(kind))


def settings_lines(kind: type[Settings]) -> list[str]:
    """The lines of `listing`; a class without a section has no heading."""
    lines: list[str] = []
    table: tuple[str, ...] | None = None if kind.section else ()
    for name, (parts, field) in fields_of(kind).items():
        if parts != table:
            table = parts
            lines += ([""] if lines else []) + [f"[{'.'.join([kind.section, *parts])}]"]
        default = field.get_default(call_default_factory=True)
        setting = f"# {name} =" if default is None else f"{name} = {_toml(default)}"
        lines.append(f"{setting}  # {field.description}")
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value if isinstance(value, (bool, int, float)) else str(value))
