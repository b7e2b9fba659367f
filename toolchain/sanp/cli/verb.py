"""A verb of the command line from a function and a settings class: every setting becomes an option.

    @verb(ProfileSettings)
    def profile(bundle: BundleArgument, *, settings: ProfileSettings, as_json: bool) -> None:

The function's own parameters stay as they are. `--config`, an option per setting, `--list-settings` and `--json` are
added; the function gets the resolved object. An option is text for Typer whatever its type: the settings class checks
it, so a mistake reads the same in a flag and in a file.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from sanp.cli.console import err, out
from sanp.settings.base import Settings, fields_of, part_of
from sanp.settings.toml import listing, resolve
from sanp_runtime.bundle.json_text import parse_json
from sanp_targets.errors import ConfigError

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="<path>", help="TOML file with a section per verb; flags override it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="<key=value>", help="Any other setting; see --list-settings."),
]


def verb(
    kind: type[Settings] = Settings,
    make: Callable[[Mapping[str, Any]], Settings] | None = None,
    more: Callable[[], str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function that takes `settings` and `as_json`.

    kind: its settings; the base class has none. make: builds them from nested values if the class alone does not know
    all that is allowed; more: the lines that --list-settings then adds.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**values: Any) -> None:
            config, as_json = values.pop("config"), values.pop("as_json")
            values.pop("list_settings", None)
            flags = {name: _parsed(name, fields[name], values.pop(name)) for name in offered}
            flags.update({key.replace("-", "_"): item for key, item in _pairs("set", values.pop("set_", None) or [])})
            try:
                function(**values, settings=resolve(kind, config, flags, make), as_json=as_json)
            except KeyboardInterrupt:
                err.print("stopped")
                raise SystemExit(130) from None

        fields = {name: field for name, (_, field) in fields_of(kind).items()}
        offered = [name for name in fields if kind.flags is None or name in kind.flags]
        own = [
            parameter
            for name, parameter in inspect.signature(function, eval_str=True).parameters.items()
            if name not in ("settings", "as_json")
        ]
        added = [_option("config", Config)]
        added += [_option(name, _annotation(kind, name)) for name in offered]
        if len(offered) < len(fields) or make is not None:
            added.append(_option("set_", Assignments))
        if fields:
            added.append(_option("list_settings", _list_settings(kind, more), False))
        added.append(_option("as_json", Json, False))
        command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        command.__annotations__ = {}
        return command

    return decorate


def _option(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _annotation(kind: type[Settings], name: str) -> Any:
    """The option of one setting: kebab-case, its description and default as help, the title of its part as panel."""
    path, field = fields_of(kind)[name]
    flag = "--" + name.replace("_", "-")
    part = part_of(kind.model_fields[path[0]]) if path else None
    panel = part.__doc__ if part is not None else None
    if field.annotation is bool:
        both = f"{flag}/--no-{flag[2:]}"
        return Annotated[bool | None, typer.Option(both, help=_help(field), rich_help_panel=panel, show_default=False)]
    if _is_table(field.annotation):
        return Annotated[
            list[str] | None, typer.Option(flag, metavar="<key=value>", help=_help(field), rich_help_panel=panel)
        ]
    return Annotated[
        str | None, typer.Option(flag, metavar=_metavar(field.annotation), help=_help(field), rich_help_panel=panel)
    ]


def _is_table(annotation: Any) -> bool:
    return any(get_origin(kind) is dict for kind in _kinds(annotation))


def _help(field: FieldInfo) -> str:
    """The description as a sentence. Defaults are in round brackets: rich would read square ones as markup."""
    text, default = field.description or "", field.get_default(call_default_factory=True)
    plain = default is None or default is False or default == {}
    if isinstance(default, tuple):  # as it can be typed
        default = " ".join(default) if all(isinstance(one, str) for one in default) else json.dumps(default)
    shown = "" if plain else f" (default: {'yes' if default is True else default})"
    return f"{text[:1].upper()}{text[1:]}{shown}.".replace("[", r"\[")


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types that a setting may have, without None."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(kind for kind in kinds if kind is not type(None))


def _metavar(annotation: Any) -> str:
    kind = _kinds(annotation)[0]
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return f"<{'json' if get_origin(kind) is not None else {str: 'text', Path: 'path'}.get(kind, kind.__name__)}>"


def _parsed(name: str, field: FieldInfo, value: Any) -> Any:
    """Text of a flag as a value: numbers and lists are JSON; where text is allowed it stays text."""
    if isinstance(value, list):
        return dict(_pairs(name, value)) if value else None
    if not isinstance(value, str) or any(
        kind in (str, Path) or get_origin(kind) is Literal for kind in _kinds(field.annotation)
    ):
        return value
    return _json_or_text(value)


def _json_or_text(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


def _pairs(flag: str, pairs: list[str]) -> list[tuple[str, Any]]:
    """key=value pairs; values are JSON where they parse as JSON, text otherwise."""
    values: list[tuple[str, Any]] = []
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--{flag.replace('_', '-')} {pair}: expected key=value; see --list-settings")
        values.append((key.strip(), _json_or_text(text)))
    return values


def _list_settings(kind: type[Settings], more: Callable[[], str] | None) -> Any:
    def show(requested: bool) -> None:
        if requested:
            out.print(listing(kind))
            if more is not None:
                out.print(more())
            raise typer.Exit

    text = "Print every setting with its default, as a settings file, and exit."
    return Annotated[bool, typer.Option("--list-settings", callback=show, is_eager=True, help=text)]
