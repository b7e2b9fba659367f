"""What a target is: where a bundle runs, and what the vendor states about its GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Optional, Tuple

# Backends: who executes a bundle.
ONNXRUNTIME, TENSORRT = "onnxruntime", "tensorrt"


@dataclass(frozen=True)
class Release:
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
    releases: Tuple[Release, ...] = ()


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
