"""Targets in TOML files: those of this package, and those of the user.

A board that only runs bundles never comes here: it may have Python 3.8 without a parser for TOML, and the manifest of a
bundle holds what running, building and measuring it need. So the parser is looked for when a file is read.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple, Union

from sanp_targets.errors import ConfigError, TargetError
from sanp_targets.target import ONNXRUNTIME, TENSORRT, Cpu, Gpu, Release, Target

HOST = "host"  # the name that means: the machine which asks

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_TEXTS = {"name", "description", "backend", "arch"}
_LISTS = {"isa", "boards", "formerly"}
_TABLES = {"cpu", "gpu", "releases"}
_CPU = {"cores": int, "max_mhz": float, "bandwidth_gb_s": float}
_GPU = {
    "sm": int,
    "multiprocessors": int,
    "memory_gb": int,
    "bandwidth_gb_s": float,
    "fp32_tflops": float,
    "fp16_tflops": float,
}
_RELEASE = {"name", "tensorrt", "cuda", "python", "source"}
_CHOICES = {"backend": (ONNXRUNTIME, TENSORRT), "arch": ("x86_64", "aarch64")}


def package_folder() -> Path:
    """The files that come with this package."""
    return Path(__file__).parent / "devices"


def user_folder() -> Path:
    """Where files of the user are looked for: $XDG_CONFIG_HOME/sanp/targets, by default ~/.config/sanp/targets."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "sanp" / "targets"


def read_targets() -> Dict[str, Target]:
    """Every target by name, those of the package first.

    Raises ConfigError for a file that cannot be used and for two files of one name, naming them.
    """
    found: Dict[str, Target] = {}
    for folder in (package_folder(), user_folder()):
        for path in sorted(folder.glob("*.toml"), key=_order):
            target = read_target(path)
            if target.name in found:
                raise ConfigError(
                    f"{path}: the name {target.name!r} is that of {found[target.name].file} too, expected a name of "
                    "its own; rename one of them"
                )
            found[target.name] = target
    return found


def read_target(path: Union[str, Path]) -> Target:
    """The target of one file; ConfigError naming the file and the key for anything that cannot be used."""
    place = Path(path)
    row = _parse(place)
    _check_keys(place, "", row, {*_TEXTS, *_LISTS, *_TABLES})
    for key in sorted(_TEXTS):
        _text(place, key, row.get(key))
    for key, allowed in _CHOICES.items():
        if row[key] not in allowed:
            raise ConfigError(f"{place}: {key} is {row[key]!r}, expected one of {', '.join(allowed)}; correct it")
    if not _NAME.fullmatch(row["name"]) or row["name"] == HOST:
        raise ConfigError(
            f"{place}: name is {row['name']!r}, expected lower-case letters, digits, dots, dashes and underscores, and "
            f"not {HOST!r}; rename it"
        )
    if (row["backend"] == TENSORRT) != ("gpu" in row):
        raise ConfigError(
            f"{place}: backend is {row['backend']!r} {'with' if 'gpu' in row else 'without'} a table [gpu], expected "
            f"that table for {TENSORRT} and for nothing else; an empty one says that the card is not known"
        )
    sources: Dict[str, str] = {}
    numbers = {part: _numbers(place, part, row[part], known, sources) for part, known in _parts(row)}
    releases = _releases(place, row.get("releases", []))
    if releases and "gpu" not in row:
        raise ConfigError(f"{place}: has releases without a table [gpu], which they belong to; leave them out")
    return Target(
        name=row["name"],
        backend=row["backend"],
        arch=row["arch"],
        description=row["description"],
        gpu=Gpu(releases=releases, **numbers["gpu"]) if "gpu" in numbers else None,
        cpu=Cpu(**numbers["cpu"]) if "cpu" in numbers else None,
        isa=_texts(place, "isa", row.get("isa", [])),
        boards=_texts(place, "boards", row.get("boards", [])),
        formerly=_texts(place, "formerly", row.get("formerly", [])),
        sources=sources,
        file=str(place),
    )


def _order(path: Path) -> Tuple[int, str]:
    """Processors before GPUs, so that a list begins with what every machine has."""
    return (path.stem.startswith("jetson") or path.stem.endswith("cuda"), path.stem)


def _parse(path: Path) -> Dict[str, Any]:
    parser = _parser()
    try:
        row: Dict[str, Any] = parser.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from error
    except (ValueError, RecursionError) as error:  # TOML and UTF-8
        raise ConfigError(f"{path}: is not valid TOML ({error}); correct that line") from error
    return row


def _parser() -> Any:
    for name in ("tomllib", "tomli"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise TargetError(
        f"target files are TOML, and Python {platform.python_version()} here has no parser for it, expected 3.11 or "
        "the package tomli; install tomli, or compile elsewhere: a compiled bundle needs no target file"
    )


def _parts(row: Mapping[str, Any]) -> List[Tuple[str, Mapping[str, type]]]:
    return [(part, known) for part, known in (("cpu", _CPU), ("gpu", _GPU)) if part in row]


def _check_keys(path: Path, table: str, row: Any, known: Any) -> None:
    where = f"[{table}]" if table else "the file"
    if not isinstance(row, dict):
        raise ConfigError(f"{path}: {table} is {row!r:.100}, expected a table [{table}]; correct it")
    for key in row:
        if key not in known:
            raise ConfigError(f"{path}: {where} has the key {key!r}, expected some of {', '.join(sorted(known))}")


def _text(path: Path, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        found = "is missing" if value is None else f"is {value!r:.100}"
        raise ConfigError(f'{path}: {key} {found}, expected a text such as {key} = "..."; correct it')
    return value


def _texts(path: Path, key: str, value: Any) -> Tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ConfigError(f'{path}: {key} is {value!r:.100}, expected a list of texts such as ["..."]; correct it')
    return tuple(value)


def _numbers(path: Path, part: str, row: Any, known: Mapping[str, type], sources: Dict[str, str]) -> Dict[str, Any]:
    """The numbers of a table, each of which is {value, source}; the sources are added."""
    _check_keys(path, part, row, known)
    values = {}
    for key, item in row.items():
        place, kind = f"{part}.{key}", known[key]
        if not isinstance(item, dict) or set(item) != {"value", "source"}:
            raise ConfigError(
                f"{path}: {place} is {item!r:.100}, expected the number with its source: {key} = {{ value = ..., "
                'source = "..." }; add where the number is from'
            )
        value = item["value"]
        fits = type(value) is int if kind is int else type(value) in (int, float)
        if not fits or not 0 < value < float("inf"):
            words = "a positive integer" if kind is int else "a positive number"
            raise ConfigError(f"{path}: {place} is {value!r:.100}, expected {words}; correct it")
        values[key] = value if kind is int else float(value)
        sources[place] = _text(path, f"{place}.source", item["source"])
    return values


def _releases(path: Path, rows: Any) -> Tuple[Release, ...]:
    if not isinstance(rows, list):
        raise ConfigError(f"{path}: releases is {rows!r:.100}, expected tables [[releases]]; correct it")
    made = []
    for row in rows:
        _check_keys(path, "releases", row, {*_RELEASE, "l4t"})
        texts = {key: _text(path, f"releases.{key}", row.get(key)) for key in sorted(_RELEASE)}
        made.append(Release(l4t=_texts(path, "releases.l4t", row.get("l4t", [])), **texts))
    return tuple(made)
