"""Find a target: by its name, by its file, or that of the machine which asks."""

from __future__ import annotations

import difflib
import os
import platform
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from sanp_targets.errors import ConfigError, TargetError
from sanp_targets.processor import processor
from sanp_targets.target import Gpu, Target
from sanp_targets.target_files import HOST, read_target, read_targets

__all__ = ["HOST", "Gpu", "Target", "check_runs_here", "host", "host_arch", "known", "names", "resolve"]

# Other spellings that systems use for the same machine.
_ARCH_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}


def known() -> Dict[str, Target]:
    """Every target by name: those of this package, then those in the user's folder; ConfigError for a bad file."""
    return read_targets()


def names() -> Tuple[str, ...]:
    """Names that `resolve` accepts, `host` last."""
    return (*known(), HOST)


def resolve(name: str) -> Target:
    """Target of this name or file; "host" is the machine that asks.

    A file is what ends in .toml or holds a slash. Raises TargetError listing the names if there is none, ConfigError
    for a file that cannot be used.
    """
    if name.endswith(".toml") or os.sep in name:
        return _of_file(Path(name))
    rows = known()
    if name == HOST:
        return host(rows=rows)
    if name in rows:
        return rows[name]
    everything = (*rows, HOST)
    listed = f"there is no target {name!r:.100}, expected one of {', '.join(everything)}"
    renamed = [target.name for target in rows.values() if name in target.formerly]
    if renamed:
        raise TargetError(f"{listed}; it has another name now: did you mean {' or '.join(map(repr, renamed))}?")
    near = difflib.get_close_matches(name, everything, n=1, cutoff=0.4)
    raise TargetError(f"{listed}; {f'did you mean {near[0]!r}?' if near else 'choose one of them'}")


def host(machine: Optional[str] = None, rows: Optional[Mapping[str, Target]] = None) -> Target:
    """Target of the processor of this machine (or of a given machine name); TargetError if no target fits it.

    It is the one for any processor of that architecture; `sanp targets probe` names closer ones. rows: the known
    targets, which are read if they are not given.
    """
    arch = host_arch(machine)
    processors = [target for target in (known() if rows is None else rows).values() if target.is_generic]
    for target in processors:
        if target.arch == arch:
            return target
    architectures = ", ".join(target.arch for target in processors)
    raise TargetError(
        f"this machine is {arch!r}, expected one of {architectures}; name the target of your board explicitly"
    )


def host_arch(machine: Optional[str] = None) -> str:
    """Architecture of this machine (or of a given machine name) in the spelling of `Target.arch`."""
    found = (machine or platform.machine()).lower()
    return _ARCH_NAMES.get(found, found)


def check_runs_here(target: Target) -> None:
    """Raise TargetError if this machine has another architecture than the target, or lacks instructions of it."""
    if target.arch != host_arch():
        raise TargetError(
            f"target {target.name} needs {target.arch}, but this machine is {host_arch()}; reach the "
            f"{target.arch} machine with --host and --library (docs/boards.md), or run `sanp compile` there on the "
            "same ONNX file"
        )
    machine = processor()
    lacking = [flag for flag in target.isa if flag not in machine["isa"]]
    if lacking:
        raise TargetError(
            f"target {target.name} needs {', '.join(target.isa)}, but {machine['cpu_model']} has no "
            f"{', '.join(lacking)}; name the target of this machine, which `sanp targets probe` finds"
        )


def _of_file(path: Path) -> Target:
    """The target of a file; one that has the name of another target would be taken for it later."""
    target = read_target(path)
    same = known().get(target.name)
    if same is not None and Path(same.file).resolve() != path.resolve():
        raise ConfigError(
            f"{path}: the name {target.name!r} is that of {same.file} too, expected a name of its own; rename it"
        )
    return target
