"""Where the stages of a visit run: a GPU, or in rehearsal a CPU with emulated kernels. The only file that knows."""

from __future__ import annotations

import ctypes
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.gpu.cuda_library import CudaLibrary, Device
from benchmarks.gpu.timing import race
from benchmarks.gpu.visit.green_context import limited_stream
from benchmarks.gpu.visit.kernel_build import build_emulated, build_for_gpu
from benchmarks.gpu.visit.tests_run import Selection
from benchmarks.gpu.visit.tools import ToolText, query_gpu, run_tool, sample_of

Run = Callable[[], object]
Choice = TypeVar("Choice")
GPU_TESTS = "tests/gpu/test_gpu"


class Place(ABC):
    """What a stage needs from the machine. output: the folder of the visit's results."""

    device: str  # of PyTorch's tensors
    memory: str  # of `one_launch`
    rehearsal: bool
    selections: tuple[Selection, ...]  # the kernel tests, fastest first

    def __init__(self, output: Path) -> None:
        self.output = output

    @abstractmethod
    def build(self) -> dict[str, Any]:
        """Compile the kernels; what was built, in how many seconds."""

    @property
    @abstractmethod
    def library_path(self) -> Path:
        """Where `build` puts the library."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Device and versions, for every result file."""

    @abstractmethod
    def race(self, runs: dict[str, Run], rounds: int, launches: int) -> dict[str, float]:
        """Median microseconds per launch of each, measured in turn."""

    @abstractmethod
    def few_multiprocessors(self, count: int) -> AbstractContextManager[int]:
        """Inside, everything runs on about so many multiprocessors of the GPU, without graphs; how many they are."""

    @abstractmethod
    def stream(self) -> ctypes.c_void_p | None:
        """The stream that PyTorch uses now."""

    @abstractmethod
    def conv_relu(self, x: Tensor, w: Tensor, bias: Tensor, residual: Tensor | None, geometry: tuple) -> Tensor:
        """The dense library's relu(conv + bias + residual) in one call. geometry: stride, padding, dilation, groups."""

    @abstractmethod
    def tool(self, name: str, command: Sequence[str], seconds: float, sample: str) -> ToolText:
        """The output of NVIDIA's tool `name` around a command; a recorded sample where a rehearsal lacks the tool."""

    @abstractmethod
    def pick(self, full: Choice, small: Choice) -> Choice:
        """The full size on a GPU, the small one in rehearsal."""

    @cached_property
    def library(self) -> CudaLibrary:
        """The kernels."""
        if not self.library_path.exists():
            raise RuntimeError(f"{self.library_path} was not found; run the stage build first")
        return CudaLibrary(self.library_path)

    @cached_property
    def kernel_device(self) -> Device:
        """What the library plans for."""
        return self.library.device()


class Gpu(Place):
    """The CUDA device of this machine, in PyTorch's current stream."""

    device, memory, rehearsal = "cuda", "driver", False
    _limited: torch.cuda.Stream | None = None  # what runs on few multiprocessors
    selections = (
        Selection("gates and random shapes", 60, (f"{GPU_TESTS}_gate.py", f"{GPU_TESTS}_convolution.py"), "random", 8),
        Selection("graphs and streams", 40, (f"{GPU_TESTS}_streams.py",)),
        Selection("layers and masks", 60, (f"{GPU_TESTS}_convolution.py",), "not random", 8),
        Selection("training steps", 40, (f"{GPU_TESTS}_training_step.py",)),
    )  # fmt: skip

    def build(self) -> dict[str, Any]:
        """As the base says; for the architecture at hand."""
        return build_for_gpu("{}{}".format(*torch.cuda.get_device_capability()))

    @property
    def library_path(self) -> Path:
        """SANP_CUDA_LIBRARY, or the built one."""
        given = os.environ.get("SANP_CUDA_LIBRARY")
        return Path(given) if given else build_for_gpu.library

    def facts(self) -> dict[str, Any]:
        """As the base says."""
        if not torch.cuda.is_available():
            raise RuntimeError("no CUDA device was found; --rehearse runs everything on a CPU")
        properties = torch.cuda.get_device_properties(0)
        return {
            "device": properties.name, "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count, "torch": torch.__version__,
            "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
            **query_gpu("driver_version", "clocks.max.sm", "clocks.sm", "power.limit"),
        }  # fmt: skip

    def race(self, runs: dict[str, Run], rounds: int, launches: int) -> dict[str, float]:
        """As the base says; every turn is one CUDA graph, on few multiprocessors a queue behind a wait."""
        return race(runs, rounds, launches, self._limited is None, self._limited)

    @contextmanager
    def few_multiprocessors(self, count: int) -> Iterator[int]:
        """As the base says; our plans are made for that many."""
        stream, found = limited_stream(count)
        stream.wait_stream(torch.cuda.current_stream())
        whole = self.kernel_device
        self.kernel_device = type(whole).from_buffer_copy(whole)
        self.kernel_device.sm_count = found
        self._limited = stream
        try:
            with torch.cuda.stream(stream):
                yield found
        finally:
            self._limited, self.kernel_device = None, whole

    def stream(self) -> ctypes.c_void_p:
        """During a capture it is another one."""
        return ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)

    def conv_relu(self, x: Tensor, w: Tensor, bias: Tensor, residual: Tensor | None, geometry: tuple) -> Tensor:
        """cuDNN's."""
        if residual is None:
            return torch.cudnn_convolution_relu(x, w, bias, *geometry)
        return torch.cudnn_convolution_add_relu(x, w, residual, 1.0, bias, *geometry)

    def tool(self, name: str, command: Sequence[str], seconds: float, sample: str) -> ToolText:
        """As the base says; `entry.Skipped` without the tool."""
        return run_tool(name, command, seconds)

    def pick(self, full: Choice, small: Choice) -> Choice:
        """full."""
        return full


class Rehearsal(Place):
    """The same stages on a CPU: emulated kernels, plain calls instead of graphs. Its times say nothing about a GPU."""

    device, memory, rehearsal = "cpu", "host", True
    selections = (Selection("plans", 60, ("tests/native/test_cuda_plans.py",), "texts or nothing or unaligned"),)

    def __init__(self, output: Path) -> None:
        super().__init__(output)
        torch.set_num_threads(1)  # tiny tensors, on a machine that often runs other tests at the same time

    def build(self) -> dict[str, Any]:
        """As the base says; the emulated kernels."""
        return build_emulated()

    @property
    def library_path(self) -> Path:
        """The emulated one."""
        return build_emulated.library

    def facts(self) -> dict[str, Any]:
        """As the base says."""
        return {"device": "rehearsal: emulated kernels on a CPU", "capability": "none", "torch": torch.__version__,
                "cuda": torch.version.cuda, "driver_version": "none"}  # fmt: skip

    def race(self, runs: dict[str, Run], rounds: int, launches: int) -> dict[str, float]:
        """One call of each."""
        times = {}
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            times[name] = (time.perf_counter() - begin) * 1e6
        return times

    @contextmanager
    def few_multiprocessors(self, count: int) -> Iterator[int]:
        """Nothing changes."""
        yield count

    def stream(self) -> None:
        """There is none."""
        return

    def conv_relu(self, x: Tensor, w: Tensor, bias: Tensor, residual: Tensor | None, geometry: tuple) -> Tensor:
        """Three calls."""
        y = F.conv2d(x, w, bias, *geometry)
        return (y if residual is None else y + residual).clamp(0.0, math.inf)

    def tool(self, name: str, command: Sequence[str], seconds: float, sample: str) -> ToolText:
        """The command runs without the tool; the text is the sample's."""
        return sample_of(sample, command, seconds)

    def pick(self, full: Choice, small: Choice) -> Choice:
        """small."""
        return small
