"""The targets that a bundle can be compiled for, as data. A new target is a new row and a backend that serves it."""

from __future__ import annotations

import difflib
import platform
from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Tuple

from sanp_targets.errors import TargetError

HOST = "host"


@dataclass(frozen=True)
class Target:
    """Where a bundle runs. backend: who executes it; arch: machine name as `uname -m` prints it."""

    name: str
    backend: str
    arch: str
    description: str

    def to_json(self) -> Dict[str, str]:
        """Plain JSON."""
        return dict(self.__dict__)


_ROWS = (
    Target("x86-cpu", "onnxruntime", "x86_64", "64-bit x86 processor; AVX-512 or AVX2 kernels are chosen at run time"),
    Target(
        "arm64-cpu", "onnxruntime", "aarch64", "64-bit ARM processor with NEON: boards, phones, the CPU of a Jetson"
    ),
)
TARGETS: Mapping[str, Target] = {target.name: target for target in _ROWS}

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
    """Target of this machine (or of a given machine name); TargetError if no target fits it."""
    arch = host_arch(machine)
    for target in TARGETS.values():
        if target.arch == arch:
            return target
    known = ", ".join(target.arch for target in TARGETS.values())
    raise TargetError(f"this machine is {arch!r}, expected one of {known}; name the target of your board explicitly")


def host_arch(machine: Optional[str] = None) -> str:
    """Architecture of this machine (or of a given machine name) in the spelling of `Target.arch`."""
    found = (machine or platform.machine()).lower()
    return _ARCH_NAMES.get(found, found)


def check_runs_here(target: Target) -> None:
    """Raise TargetError if this machine has another architecture than the target."""
    if host() != target:
        raise TargetError(
            f"target {target.name} needs {target.arch}, but this machine is {host_arch()}; run it on the device"
        )
