"""Find a target: by its name, or that of the machine which asks."""

from __future__ import annotations

import difflib
import platform
from typing import Mapping, Optional, Tuple

from sanp_targets.errors import TargetError
from sanp_targets.table import ROWS
from sanp_targets.target import Gpu, Target

__all__ = ["HOST", "TARGETS", "Gpu", "Target", "check_runs_here", "host", "host_arch", "names", "resolve"]

HOST = "host"


TARGETS: Mapping[str, Target] = {target.name: target for target in ROWS}

# Other spellings that systems use for the same machine.
_ARCH_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}


def names() -> Tuple[str, ...]:
    """Names that `resolve` accepts, `host` last."""
    return (*TARGETS, HOST)


def resolve(name: str) -> Target:
    """Target of this name; "host" is the machine that asks. TargetError listing the names if there is none."""
    if name == HOST:
        return host()
    if name in TARGETS:
        return TARGETS[name]
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "choose one of them"
    raise TargetError(f"there is no target {name!r}, expected one of {', '.join(names())}; {hint}")


def host(machine: Optional[str] = None) -> Target:
    """Target of the processor of this machine (or of a given machine name); TargetError if no target fits it."""
    arch = host_arch(machine)
    processors = [target for target in TARGETS.values() if target.gpu is None]
    for target in processors:
        if target.arch == arch:
            return target
    known = ", ".join(target.arch for target in processors)
    raise TargetError(f"this machine is {arch!r}, expected one of {known}; name the target of your board explicitly")


def host_arch(machine: Optional[str] = None) -> str:
    """Architecture of this machine (or of a given machine name) in the spelling of `Target.arch`."""
    found = (machine or platform.machine()).lower()
    return _ARCH_NAMES.get(found, found)


def check_runs_here(target: Target) -> None:
    """Raise TargetError if this machine has another architecture than the target."""
    if target.arch != host_arch():
        raise TargetError(
            f"target {target.name} needs {target.arch}, but this machine is {host_arch()}; reach the "
            f"{target.arch} machine with --host and --library (docs/boards.md), or run `sanp compile` there on the "
            "same ONNX file"
        )
