"""The targets that a bundle can be compiled for, as data. A new target is a new row and a backend that serves it."""

from __future__ import annotations

import difflib
import platform
from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from sanp_targets.errors import TargetError

HOST = "host"


@dataclass(frozen=True)
class Stack:
    """One release of a board's software and the TensorRT, CUDA and Python versions in it."""

    name: str
    tensorrt: str
    cuda: str
    python: str


@dataclass(frozen=True)
class Gpu:
    """What the vendor states about a GPU; nothing here was measured. None: depends on the card.

    sm: compute capability without the dot. The rates are dense peaks in TFLOPS (a multiply-add is two), bandwidth in
    10^9 bytes/s; they only rank layers for the choice of kernels. For a family they are those of its named module.
    """

    sm: Optional[int] = None
    multiprocessors: Optional[int] = None
    memory_gb: Optional[int] = None
    bandwidth_gb_s: Optional[float] = None
    fp32_tflops: Optional[float] = None
    fp16_tflops: Optional[float] = None
    stacks: Tuple[Stack, ...] = ()


@dataclass(frozen=True)
class Target:
    """Where a bundle runs. backend: who executes it; arch: machine name as `uname -m` prints it; gpu: None on a CPU."""

    name: str
    backend: str
    arch: str
    description: str
    gpu: Optional[Gpu] = None

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


_JETPACK_5 = Stack("JetPack 5.1", "8.5.2", "11.4", "3.8")
_JETPACK_60 = Stack("JetPack 6.0", "8.6.2", "12.2", "3.10")
_JETPACK_62 = Stack("JetPack 6.1, 6.2", "10.3.0", "12.6", "3.10")
_JETPACK_70 = Stack("JetPack 7.0, 7.1", "10.13.3", "13.0", "3.12")
_JETPACK_72 = Stack("JetPack 7.2", "10.16.2", "13.2", "3.12")
_ORIN = (_JETPACK_5, _JETPACK_60, _JETPACK_62, _JETPACK_72)

_ROWS = (
    Target("x86-cpu", "onnxruntime", "x86_64", "64-bit x86 processor; AVX-512 or AVX2 kernels are chosen at run time"),
    Target(
        "arm64-cpu", "onnxruntime", "aarch64", "64-bit ARM processor with NEON: boards, phones, the CPU of a Jetson"
    ),
    Target(
        "jetson-orin-nano",
        "tensorrt",
        "aarch64",
        "Jetson Orin Nano or Orin NX; rates of Orin Nano 8 GB at 15 W",
        Gpu(87, 8, 8, 68.0, 1.28, 10.2, _ORIN),
    ),
    Target(
        "jetson-agx-orin",
        "tensorrt",
        "aarch64",
        "Jetson AGX Orin; rates of the 64 GB module",
        Gpu(87, 16, 64, 204.8, 5.3, 42.5, _ORIN),
    ),
    Target(
        "jetson-xavier",
        "tensorrt",
        "aarch64",
        "Jetson AGX Xavier or Xavier NX; rates of AGX Xavier",
        Gpu(72, 8, 32, 136.5, 1.41, 11.3, (_JETPACK_5,)),
    ),
    Target(
        "jetson-thor",
        "tensorrt",
        "aarch64",
        "Jetson Thor; rates of T5000",
        Gpu(110, 20, 128, 273.0, 8.06, 258.0, (_JETPACK_70, _JETPACK_72)),
    ),
    Target("x86-cuda", "tensorrt", "x86_64", "x86 machine with an NVIDIA GPU, compute capability 7.5 or later", Gpu()),
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
            f"target {target.name} needs {target.arch}, but this machine is {host_arch()}; run it on the device: "
            f"install sanp-toolchain on the {target.arch} machine and run `sanp compile` there on the same ONNX file"
        )
