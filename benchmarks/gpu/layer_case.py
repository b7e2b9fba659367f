"""One layer on a device: gated through the C interface, and the ways in which PyTorch computes it with all channels."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import byref
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.gpu.cuda_library import FLOAT16, FLOAT32, HWIO, Conv, ConvTensors, Plan, describe
from benchmarks.gpu.place import Place
from benchmarks.networks.shapes import Layer

ELEMENTS = {"float16": (torch.float16, FLOAT16), "float32": (torch.float32, FLOAT32)}
TF32 = " TF32"  # end of the name of a dense way whose inputs are rounded to 10 bits


@contextmanager
def cudnn(benchmark: bool, tf32: bool) -> Iterator[None]:
    """cuDNN with or without trying its algorithms, with or without TF32. Only these two switches are touched."""
    backend = torch.backends.cudnn
    before = backend.benchmark, backend.allow_tf32
    backend.benchmark, backend.allow_tf32 = benchmark, tf32
    try:
        yield
    finally:
        backend.benchmark, backend.allow_tf32 = before


class GatedLayer:
    """Tensors of one layer with the given fraction of channels open on both sides, at random places of each sample."""

    def __init__(self, place: Place, layer: Layer, batch: int, element: str, keep: float) -> None:
        dtype, kind = ELEMENTS[element]
        self.place, self.layer, self.group, self.element = place, layer, layer.group, element
        self.conv: Conv = describe(
            layer.c_in, layer.c_out, layer.size, kernel=layer.kernel, stride=layer.stride, pad=layer.pad, batch=batch,
            type=kind, weight_order=HWIO, scale_rows=batch, shift_rows=batch, active_rows=batch, group=self.group,
        )  # fmt: skip
        # A stem reads an image: all of its inputs are open.
        self.active = self._mask(batch, layer.c_in, 1.0 if layer.c_in == 3 else keep)
        self.scale = self._mask(batch, layer.c_out, keep)
        self.shift = torch.zeros_like(self.scale)
        device, inputs = place.device, layer.c_in // self.group
        x = torch.randn(batch, layer.c_in, layer.size, layer.size, device=device)
        w = torch.randn(layer.c_out, inputs, layer.kernel, layer.kernel, device=device)
        self.x = (x * self.active[..., None, None]).to(dtype)
        self.w = (w / (inputs * layer.kernel**2) ** 0.5).to(dtype)
        self.w_hwio = self.w.permute(2, 3, 1, 0).contiguous()
        self.residual = torch.zeros(1, device=device, dtype=dtype)
        self.y = torch.empty(batch, layer.c_out, layer.out, layer.out, device=device, dtype=dtype)

    def _mask(self, rows: int, n: int, keep: float) -> Tensor:
        """[rows, n] with the same number of ones in every row."""
        order = torch.rand(rows, n, device=self.place.device).argsort(1)
        return (order < max(1, round(keep * n))).float()

    def plans(self) -> list[Plan]:
        """All plans, the library's choice first."""
        return self.place.library.candidates(self.conv, self.place.kernel_device)

    def gated(self, plan: Plan) -> Callable[[], None]:
        """A call that launches our kernel on the current stream."""
        library = self.place.library
        size = library.handle.sanp_cuda_conv_workspace(byref(self.conv), byref(plan))
        workspace = torch.empty(max(size, 1), dtype=torch.uint8, device=self.place.device)
        tensors = ConvTensors(*(t.data_ptr() for t in (self.x, self.w_hwio, self.scale, self.shift, self.active,
                                                       self.residual, self.y)))  # fmt: skip

        def run() -> None:
            pointer = ctypes.c_void_p(workspace.data_ptr())
            arguments = (byref(self.conv), byref(plan), byref(tensors), pointer, self.place.stream())
            library.require(library.handle.sanp_cuda_conv(*arguments))

        return run

    def dense(self) -> dict[str, Callable[[], Tensor]]:
        """The ways to compute the layer with all channels, cuDNN trying its algorithms, that work for this shape."""
        x_last, w_last = (t.contiguous(memory_format=torch.channels_last) for t in (self.x, self.w))
        bias = torch.zeros(self.layer.c_out, device=self.place.device, dtype=self.x.dtype)
        geometry = ((self.layer.stride,) * 2, (self.layer.pad,) * 2, (1, 1), self.group)
        ways: dict[str, Callable[[], Tensor]] = {
            "conv+relu NCHW": lambda: F.conv2d(self.x, self.w, None, *geometry).relu_(),
            "conv+relu channels_last": lambda: F.conv2d(x_last, w_last, None, *geometry).relu_(),
            "fused channels_last": lambda: self.place.conv_relu(x_last, w_last, bias, None, geometry),
        }
        found = {name: _with_cudnn(run, tf32=False) for name, run in ways.items()}
        if self.element == "float32":
            found |= {name + TF32: _with_cudnn(run, tf32=True) for name, run in ways.items()}
        return {name: run for name, run in found.items() if _works(run)}

    @cached_property
    def expected(self) -> Tensor:
        """The dense result in double precision, masked."""
        with cudnn(benchmark=False, tf32=False):
            y = F.conv2d(self.x.double(), self.w.double(), None, self.layer.stride, self.layer.pad, 1, self.group)
        return y.relu_() * self.scale[..., None, None]

    def check(self, plan: Plan) -> None:
        """RuntimeError if our result is not the dense one, masked."""
        self.y.fill_(float("nan"))
        self.gated(plan)()
        error = float((self.y.double() - self.expected).abs().max())
        # Outputs are of the size of one; sums of at most 4608 products round at 2^-24, a half at 2^-11.
        limit = (2e-2 if self.y.dtype == torch.float16 else 1e-3) * max(1.0, float(self.expected.abs().max()))
        if not error <= limit:
            raise RuntimeError(
                f"{self.layer.name}, {self.place.library.describe(plan)}: the kernel is off by {error:.3g}, expected "
                f"less than {limit:.3g}; run make test-gpu"
            )


def _with_cudnn(run: Callable[[], Tensor], tf32: bool) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with cudnn(benchmark=True, tf32=tf32):
            return run()

    return call


def _works(run: Callable[[], Tensor]) -> bool:
    """Whether the dense library takes the shape: its fused call refuses some groups."""
    try:
        run()
    except RuntimeError:
        return False
    return True
