"""Random gated convolutions for the CUDA kernels, their float64 reference, and the comparison.

Inactive input channels, weights that no sample may read, outputs and workspace hold NaN before a run: a kernel that
reads what it promised not to read, or leaves an output unwritten, shows it.
"""

from __future__ import annotations

import ctypes
import math
from ctypes import byref
from dataclasses import dataclass

import numpy as np

from benchmarks.gpu.cuda_library import FLOAT16, HWIO, OIHW, Conv, ConvTensors, CudaLibrary, Plan, describe

MASKS = ("all", "none", "one", "first", "last", "half")


def mask(rng: np.random.Generator, kind: str, rows: int, n: int) -> np.ndarray:
    """[rows, n] of 0 and 1; every row is drawn for itself."""
    chosen = np.zeros((rows, n), np.float32)
    if kind == "all":
        chosen[:] = 1
    elif kind == "half":
        chosen[:] = rng.random((rows, n)) < 0.5
    elif kind != "none":
        at = {"one": rng.integers(0, n, rows), "first": 0, "last": n - 1}[kind]
        chosen[np.arange(rows), at] = 1
    return chosen


def convolve(conv: Conv, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The plain convolution in float64; x is [N, Ci, H, W], w is [Co, Ci/group, kh, kw]."""
    n, (oh, ow), group = x.shape[0], (conv.out_height, conv.out_width), conv.group
    rows = (oh - 1) * conv.stride_h + (conv.kernel_h - 1) * conv.dilation_h + 1
    cols = (ow - 1) * conv.stride_w + (conv.kernel_w - 1) * conv.dilation_w + 1
    padded = np.zeros((n, conv.c_in, max(rows, conv.pad_top + conv.height), max(cols, conv.pad_left + conv.width)))
    padded[:, :, conv.pad_top : conv.pad_top + conv.height, conv.pad_left : conv.pad_left + conv.width] = x
    y = np.zeros((n, group, conv.c_out // group, oh, ow))
    for ky in range(conv.kernel_h):
        for kx in range(conv.kernel_w):
            top, left = ky * conv.dilation_h, kx * conv.dilation_w
            window = padded[:, :, top : top + (oh - 1) * conv.stride_h + 1 : conv.stride_h]
            window = window[..., left : left + (ow - 1) * conv.stride_w + 1 : conv.stride_w]
            taps = w[:, :, ky, kx].astype(np.float64).reshape(group, conv.c_out // group, -1)
            y += np.einsum("ngiyx,goi->ngoyx", window.reshape(n, group, -1, oh, ow), taps, optimize=True)
    return y.reshape(n, conv.c_out, oh, ow)


@dataclass
class ConvCase:
    """One problem: description, arrays as the kernels get them, expected result and its tolerance."""

    conv: Conv
    arrays: dict[str, np.ndarray]
    expected: np.ndarray
    tolerance: np.ndarray

    def run(self, library: CudaLibrary, memory: object, plan: Plan) -> np.ndarray:
        """The result of one launch into poisoned memory."""
        y = np.full(self.expected.shape, np.nan, self.arrays["x"].dtype)
        buffers = {name: memory.put(array) for name, array in (*self.arrays.items(), ("y", y))}
        workspace = memory.put(
            np.full(library.handle.sanp_cuda_conv_workspace(byref(self.conv), byref(plan)), 255, np.uint8)
        )
        tensors = ConvTensors(**{name: b.pointer for name, b in buffers.items()})
        library.require(
            library.handle.sanp_cuda_conv(
                byref(self.conv), byref(plan), byref(tensors), ctypes.c_void_p(workspace.pointer), memory.stream
            )
        )
        workspace.read()
        return buffers["y"].read()

    def check(self, y: np.ndarray, where: str) -> None:
        """Every element within its own tolerance; NaN exactly where expected."""
        error = np.abs(y.astype(np.float64) - self.expected)
        bad = ~((error <= self.tolerance) | (np.isnan(y) & np.isnan(self.expected)))
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise AssertionError(
                f"{where}: {bad.sum()} of {bad.size} wrong, first y{at} = {y[at]}, expected {self.expected[at]} "
                f"within {self.tolerance[at]}; {self.conv}"
            )


def make_case(rng: np.random.Generator, conv: Conv, outputs: str = "half", inputs: str = "half") -> ConvCase:
    """Values for a described convolution. `outputs` and `inputs` name the masks of its channels."""
    element = np.float16 if conv.type == FLOAT16 else np.float32
    n, group_in = conv.batch, conv.c_in // conv.group

    def normal(*shape: int) -> np.ndarray:
        # Mixed magnitudes: a kernel that drops small terms or adds in a bad order shows.
        return (rng.standard_normal(shape) * np.where(rng.random(shape) < 1 / 16, 8, 1)).astype(element)

    active = mask(rng, inputs, conv.active_rows, conv.c_in)
    open_ = mask(rng, outputs, conv.scale_rows, conv.c_out)
    scale = (open_ * (0.25 + rng.random(open_.shape))).astype(np.float32)
    masked = np.broadcast_to(open_, (n, conv.c_out)) == 0
    shift = rng.standard_normal((conv.shift_rows, conv.c_out)).astype(np.float32)
    if conv.shift_rows == conv.scale_rows:
        shift *= open_
    x, w = normal(n, conv.c_in, conv.height, conv.width), normal(conv.c_out, group_in, conv.kernel_h, conv.kernel_w)
    shape = (n, conv.c_out, conv.out_height, conv.out_width)
    residual = normal(*shape) if conv.residual_dense else np.full(1, 0.5 if rng.random() < 0.5 else 0, element)

    closed = np.broadcast_to(active, (n, conv.c_in)) == 0
    zeroed = np.where(closed[:, :, None, None], 0, x).astype(np.float64)
    rows = np.broadcast_to(scale, (n, conv.c_out))[:, :, None, None].astype(np.float64)
    offset = np.broadcast_to(shift, (n, conv.c_out))[:, :, None, None].astype(np.float64) + residual.astype(np.float64)
    expected = np.clip(rows * convolve(conv, zeroed, w) + offset, conv.act_min, conv.act_max)
    size = rows * convolve(conv, np.abs(zeroed), np.abs(w)) + np.abs(offset)
    # Every product and sum rounds once, in any order; tensor cores truncate, which costs twice as much.
    tolerance = (2 * group_in * conv.kernel_h * conv.kernel_w + 8) * float(np.finfo(np.float32).eps) * size + 1e-30
    if conv.type == FLOAT16:
        expected = np.clip(expected, -65504, 65504)
        tolerance += np.abs(expected) * 2.0**-11 + 2.0**-25

    x[closed] = np.nan
    w[masked.all(0)] = np.nan
    for g in range(conv.group):
        never = closed.all(0)[g * group_in : (g + 1) * group_in]
        w[g * (conv.c_out // conv.group) : (g + 1) * (conv.c_out // conv.group), never] = np.nan
    if conv.weight_order == HWIO:
        w = np.ascontiguousarray(w.transpose(2, 3, 1, 0))
    arrays = {"x": x, "w": w, "scale": scale, "shift": shift, "in_active": active, "residual": residual}
    return ConvCase(conv, arrays, expected, tolerance)


def random_conv(rng: np.random.Generator, element: int) -> Conv:
    """Any convolution the interface allows, small enough for the emulator."""
    while True:
        group = int(rng.choice([1, 1, 1, 1, 2, 3]))
        c_in, c_out = group * int(rng.integers(1, 80)), group * int(rng.integers(1, 80))
        if rng.random() < 0.15:
            group, c_out = c_in, c_in * int(rng.integers(1, 3))
        kernel = tuple(int(k) for k in (rng.integers(1, 6, 2) if rng.random() < 0.3 else [rng.choice([1, 3, 3])] * 2))
        fields = {name: tuple(int(v) for v in rng.choice(values, 2)) for name, values in
                  (("stride", [1, 1, 2, 3]), ("dilation", [1, 1, 1, 2]), ("pad", [0, 1, 1, 2, 3]))}  # fmt: skip
        batch = int(rng.integers(1, 4))
        conv = describe(
            c_in, c_out, tuple(int(s) for s in rng.integers(1, 20, 2)), kernel=kernel, group=group, type=element,
            weight_order=int(rng.choice([OIHW, HWIO])), batch=batch,
            scale_rows=int(rng.choice([1, batch])), shift_rows=int(rng.choice([1, batch])),
            active_rows=int(rng.choice([1, batch])), residual_dense=int(rng.integers(0, 2)),
            act_min=float(rng.choice([0.0, -math.inf])), act_max=float(rng.choice([6.0, math.inf])), **fields,
        )  # fmt: skip
        work = c_in // group * c_out * kernel[0] * kernel[1] * conv.out_height * conv.out_width * batch
        if conv.out_height > 0 and conv.out_width > 0 and work < 3_000_000:
            return conv
