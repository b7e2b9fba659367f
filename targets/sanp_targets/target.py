"""What a target is: where a bundle runs, and what the vendor states about its processor and its GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

# Backends: who executes a bundle.
ONNXRUNTIME, TENSORRT = "onnxruntime", "tensorrt"


@dataclass(frozen=True)
class Release:
    """One release of a board's software and the TensorRT, CUDA and Python versions in it.

    l4t: the releases of Jetson Linux that it is, as the beginning of "36.4.3"; source: where the versions were read.
    """

    name: str
    tensorrt: str
    cuda: str
    python: str
    l4t: Tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Cpu:
    """What the vendor states about the processor: cores, highest clock in MHz, memory in 10^9 bytes/s."""

    cores: Optional[int] = None
    max_mhz: Optional[float] = None
    bandwidth_gb_s: Optional[float] = None


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
    releases: Tuple[Release, ...] = ()


@dataclass(frozen=True)
class Target:
    """Where a bundle runs. backend: who executes it; arch: machine name as `uname -m` prints it; gpu: None on a CPU.

    isa: instructions that the processor must have, in the words of /proc/cpuinfo. boards: a machine is this board if
    one of these texts is in the model or the `compatible` entry of its device tree; none: any machine. formerly: names
    that this target had. sources: "gpu.sm" -> where that number was read. file: where the target is described.
    """

    name: str
    backend: str
    arch: str
    description: str
    gpu: Optional[Gpu] = None
    cpu: Optional[Cpu] = None
    isa: Tuple[str, ...] = ()
    boards: Tuple[str, ...] = ()
    formerly: Tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    file: str = ""

    @property
    def is_generic(self) -> bool:
        """Whether it is a processor of its architecture, whatever instructions and whatever board that has."""
        return self.gpu is None and not self.isa and not self.boards

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return asdict(self)
