"""Settings of a verb: one immutable object, checked in one place, with a part for what belongs together.

A verb's class is all that there is to say about its settings. The TOML section, the flags of the command line, the list
of `--list-settings` and the keywords from Python follow from its fields; a new setting is one line. A field whose type
is another `Settings` is a part: `[compile.tensorrt]` in the file, still `--precision` on the command line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from sanp_targets.errors import ConfigError

_KINDS = ("bool", "int", "float", "str")
Chosen = TypeVar("Chosen", bound="Settings")


def _from_percent(value: Any) -> Any:
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*", value) if isinstance(value, str) else None
    return float(found[1]) / 100 if found else value


# A share that may also be written in percent: 0.05 or "5%".
Share = Annotated[float, BeforeValidator(_from_percent)]


class Settings(BaseModel):
    """Base of all settings: immutable, and a misspelt key is an error instead of a silent default.

    section: the table of the file that holds them. flags: settings that the command line offers as options, None = all;
    `--set` reaches the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    section: ClassVar[str] = ""
    flags: ClassVar[tuple[str, ...] | None] = None

    @classmethod
    def checked(cls: type[Chosen], **values: Any) -> Chosen:
        """Settings of keywords, those of a part by their own names too: `checked(target="host", precision="fp16")`.

        Raises ConfigError with one sentence that names the setting, what was found and what was expected.
        """
        return from_nested(cls, nested(cls, values))

    @classmethod
    def chosen(cls: type[Chosen], settings: Chosen | None, keywords: Mapping[str, Any]) -> Chosen:
        """What a function was given: an object or keywords; ConfigError for both."""
        if settings is None:
            return cls.checked(**keywords)
        if keywords:
            raise ConfigError(
                f"settings and the keyword {next(iter(keywords))} were both given, expected one of them; "
                "put the keyword into the settings"
            )
        return settings


def fields_of(kind: type[Settings]) -> dict[str, tuple[tuple[str, ...], FieldInfo]]:
    """Name -> (parts that lead to it, field) of every setting, those of the parts after the common ones."""
    common = {name: ((), field) for name, field in kind.model_fields.items() if part_of(field) is None}
    rows: dict[str, tuple[tuple[str, ...], FieldInfo]] = dict(common)
    for part, field in kind.model_fields.items():
        inner = part_of(field)
        for name, (path, row) in fields_of(inner).items() if inner is not None else ():
            assert name not in rows, f"{kind.__name__} has two settings called {name}"
            rows[name] = ((part, *path), row)
    return rows


def part_of(field: FieldInfo) -> type[Settings] | None:
    """The class of a field that is a part, None for a plain setting."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else None


def nested(kind: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by flat name as the nested ones that the class takes; unknown names stay where they are."""
    places = fields_of(kind)
    result: dict[str, Any] = {}
    for name, value in values.items():
        table = result
        for part in places[name][0] if name in places else ():
            table = table.setdefault(part, {})
        table[name] = value
    return result


def from_nested(kind: type[Chosen], values: Mapping[str, Any], label: str | None = None) -> Chosen:
    """The object of nested values; ConfigError with one sentence for the first one that cannot be used.

    label: what the sentence calls the place; by default the section of the file, as in "[compile.tensorrt]".
    """
    try:
        return kind(**values)
    except ValidationError as error:
        raise ConfigError(_sentence(kind, error, label)) from error


def _sentence(kind: type[Settings], error: ValidationError, label: str | None) -> str:
    """The only translation of pydantic's reports."""
    found = error.errors()
    first = next((row for row in found if row["type"] == "finite_number"), found[0])
    place = [str(part) for part in first["loc"]] or [""]
    if len(place) > 1 and place[-1] in _KINDS:  # which of several types it failed to be says nothing
        place.pop()
    while len(place) > 1 and isinstance(first["loc"][len(place) - 1], int):  # a place in a list
        place[-2:] = [f"{place[-2]}[{place[-1]}]"]
    *parts, key = place
    if first["type"] == "extra_forbidden":
        return _unknown(kind, tuple(parts), key, label)
    expected = re.sub(r"^(Input should|Value should) ", "expected to ", first["msg"].removeprefix("Value error, "))
    expected = expected.replace("a valid tuple", "a list in square brackets, such as [1, 2]")
    cure = _share(kind, key, first["input"]) or "correct it"
    return f"{label or _table(kind, parts)} {key} is {first['input']!r:.200}, {expected}; {cure}"


def _share(kind: type[Settings], key: str, value: Any) -> str | None:
    """What was meant, if a share was given in percent."""
    known = fields_of(kind)
    ends = [getattr(item, "le", None) for item in known[key][1].metadata] if key in known else []
    is_share = 1 in ends and "share" in (known[key][1].description or "")
    if is_share and isinstance(value, (int, float)) and 1 < value < 2:  # more likely a factor than 1.5 %
        return "it is a share of the whole: 0.35 are 35 %"
    if is_share and isinstance(value, (int, float)) and 2 <= value <= 100:
        return f"it is a share: {value:g} % are {value / 100:g}"
    return None


def _unknown(kind: type[Settings], parts: tuple[str, ...], key: str, label: str | None) -> str:
    known = fields_of(kind)
    if key in known:
        return f"{label or _table(kind, parts)} has no setting {key!r}; it belongs into {_table(kind, known[key][0])}"
    here = [name for name, (path, _) in known.items() if path == parts]
    return no_setting(label or _table(kind, parts), key, here, known)


def no_setting(label: str, key: str, *known: Iterable[str]) -> str:
    """Sentence about a key that does not exist: a near name from the first group that has one, or that whole group."""
    for names in known:
        if near := difflib.get_close_matches(key, list(names), n=1):
            return f"{label} has no setting {key!r}; did you mean {near[0]}?"
    names = ", ".join(known[0])
    return f"{label} has no setting {key!r}; {f'expected one of {names}' if names else 'it takes none, remove it'}"


def _table(kind: type[Settings], parts: Iterable[str]) -> str:
    return f"[{'.'.join([kind.section, *parts])}]"
