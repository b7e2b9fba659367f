"""The C interface of the CUDA kernels for benchmarks and tests: structures of sanp_cuda.h, and the library."""

from __future__ import annotations

import ctypes
import math
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int32, c_size_t, c_void_p
from pathlib import Path

FLOAT32, FLOAT16 = 0, 1
OIHW, HWIO = 0, 1
BAD_ARGUMENT, BAD_PLAN = -1, -2


def fields(names: str, kind: type) -> list[tuple[str, type]]:
    """Fields of a structure that share a type."""
    return [(name, kind) for name in names.split()]


class Conv(ctypes.Structure):
    """SanpCudaConv."""

    _fields_ = (
        fields("type weight_order batch c_in height width c_out out_height out_width kernel_h kernel_w", c_int32)
        + fields("stride_h stride_w pad_top pad_left dilation_h dilation_w group", c_int32)
        + fields("scale_rows shift_rows active_rows residual_dense", c_int32)
        + fields("act_min act_max", c_float)
    )

    def __str__(self) -> str:
        """The shape in words, for messages."""
        return ", ".join(f"{name}={getattr(self, name)}" for name, _ in self._fields_)


class ConvTensors(ctypes.Structure):
    """SanpCudaConvTensors."""

    _fields_ = fields("x w scale shift in_active residual y", c_void_p)


class Gate(ctypes.Structure):
    """SanpCudaGate."""

    _fields_ = (
        fields("type batch c_in height width hidden c_out mask_rows k", c_int32)
        + fields("threshold", c_float)
        + fields("has_offset", c_int32)
    )


class GateTensors(ctypes.Structure):
    """SanpCudaGateTensors."""

    _fields_ = fields("x w1 b1 w2 b2 bias mask scale shift", c_void_p)


class Device(ctypes.Structure):
    """SanpCudaDevice."""

    _fields_ = fields("sm_major sm_minor sm_count shared_bytes", c_int32)


class Plan(ctypes.Structure):
    """SanpCudaPlan."""

    _fields_ = [
        *fields("version algorithm tile_m tile_n tile_k split_k threads shared_bytes", c_int32),
        ("grid", c_int32 * 3),
        ("reserved", c_int32 * 5),
    ]


ORIN = Device(8, 7, 16, 163 * 1024)
XAVIER = Device(7, 2, 8, 96 * 1024)
HOPPER = Device(9, 0, 132, 227 * 1024)


def describe(c_in: int, c_out: int, size: int | tuple[int, int], **fields: object) -> Conv:
    """A convolution by its channels and map; `kernel`, `stride`, `pad`, `dilation` take one number or two."""
    pair = {name: fields.pop(name, default) for name, default in (("kernel", 3), ("stride", 1), ("dilation", 1))}
    kernel, stride, dilation = (v if isinstance(v, tuple) else (v, v) for v in pair.values())
    pad = fields.pop("pad", kernel[0] // 2)
    pad = pad if isinstance(pad, tuple) else (pad, pad)
    height, width = size if isinstance(size, tuple) else (size, size)
    out = [
        (s + 2 * p - d * (k - 1) - 1) // t + 1
        for s, p, d, k, t in zip((height, width), pad, dilation, kernel, stride, strict=True)
    ]
    conv = Conv(
        type=FLOAT32, weight_order=HWIO, batch=1, c_in=c_in, height=height, width=width, c_out=c_out, out_height=out[0],
        out_width=out[1], kernel_h=kernel[0], kernel_w=kernel[1], stride_h=stride[0], stride_w=stride[1],
        pad_top=pad[0], pad_left=pad[1], dilation_h=dilation[0], dilation_w=dilation[1], group=1, scale_rows=1,
        shift_rows=1, active_rows=1, residual_dense=0, act_min=0.0, act_max=math.inf,
    )  # fmt: skip
    for name, value in fields.items():
        setattr(conv, name, value)
    return conv


class CudaLibrary:
    """libsanp_cuda, or the emulated one, with typed functions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = h = ctypes.CDLL(str(path))
        h.sanp_cuda_message.restype = h.sanp_cuda_algorithm_name.restype = c_char_p
        h.sanp_cuda_message.argtypes = h.sanp_cuda_algorithm_name.argtypes = [c_int]
        h.sanp_cuda_device.argtypes = [POINTER(Device)]
        h.sanp_cuda_conv_plan.argtypes = [POINTER(Conv), POINTER(Device), POINTER(Plan)]
        h.sanp_cuda_conv_candidates.argtypes = [POINTER(Conv), POINTER(Device), POINTER(Plan), c_int]
        h.sanp_cuda_conv_workspace.argtypes = [POINTER(Conv), POINTER(Plan)]
        h.sanp_cuda_gate_workspace.argtypes = [POINTER(Gate)]
        h.sanp_cuda_conv_workspace.restype = h.sanp_cuda_gate_workspace.restype = c_size_t
        h.sanp_cuda_conv.argtypes = [POINTER(Conv), POINTER(Plan), POINTER(ConvTensors), c_void_p, c_void_p]
        h.sanp_cuda_gate.argtypes = [POINTER(Gate), POINTER(GateTensors), c_void_p, c_void_p]

    def require(self, status: int) -> None:
        """RuntimeError with the library's own text unless `status` is 0."""
        if status != 0:
            raise RuntimeError(self.handle.sanp_cuda_message(status).decode())

    def device(self) -> Device:
        """The current device."""
        device = Device()
        self.require(self.handle.sanp_cuda_device(byref(device)))
        return device

    def plan(self, conv: Conv, device: Device) -> Plan:
        """The plan that the library prefers."""
        plan = Plan()
        self.require(self.handle.sanp_cuda_conv_plan(byref(conv), byref(device), byref(plan)))
        return plan

    def candidates(self, conv: Conv, device: Device) -> list[Plan]:
        """Every plan, the preferred one first."""
        plans = (Plan * 128)()
        count = self.handle.sanp_cuda_conv_candidates(byref(conv), byref(device), plans, len(plans))
        if not 0 < count <= len(plans):
            raise RuntimeError(
                f"{count} plans, expected 1 to {len(plans)}: {self.handle.sanp_cuda_message(count).decode()}"
            )
        return list(plans)[:count]

    def algorithm(self, plan: Plan) -> str:
        """The name of the plan's kernel."""
        return self.handle.sanp_cuda_algorithm_name(plan.algorithm).decode()

    def describe(self, plan: Plan) -> str:
        """Algorithm, tile, slices and threads, for messages: no two plans of a shape share them."""
        return f"{self.algorithm(plan)} {plan.tile_m}x{plan.tile_n} split {plan.split_k} threads {plan.threads}"
