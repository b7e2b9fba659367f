"""Launch kernels once, with nothing else in the process: what compute-sanitizer and Nsight Compute look at.

    python -m benchmarks.gpu.visit.one_launch --library build/cuda-gpu/libsanp_cuda.so --every-kernel
    python -m benchmarks.gpu.visit.one_launch --library build/cuda-gpu/libsanp_cuda.so --conv "$FIELDS" --plan 0

FIELDS: "conv" of a row of layers.json, as it stands there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from ctypes import byref, c_void_p
from pathlib import Path

import numpy as np

from benchmarks.command_line import parser
from benchmarks.gpu.cuda_library import (
    FLOAT16,
    FLOAT32,
    Conv,
    ConvTensors,
    CudaLibrary,
    Device,
    Gate,
    GateTensors,
    Plan,
    describe,
)
from benchmarks.gpu.visit.device_memory import MEMORIES, DriverMemory, HostMemory

# Together they reach every kernel: 3x3 with planes of a multiple of 4 pixels and others, 1x1 in planes of 8 and of 4
# pixels, depthwise.
SHAPES = (
    describe(40, 72, 12), describe(40, 72, 9), describe(64, 72, 8, kernel=1), describe(64, 72, 6, kernel=1),
    describe(24, 24, 9, group=24),
)  # fmt: skip
# One, two, and a launch for each step; see runtime/native/cuda/gate/api.cu.
GATES = ({}, {"c_in": 3, "height": 300, "width": 160}, {"c_in": 330, "c_out": 310, "hidden": 160})


def open_half(rng: np.random.Generator, rows: int, channels: int) -> np.ndarray:
    """[rows, channels] of 0 and 1, at least one of each row open."""
    mask = (rng.random((rows, channels)) < 0.5).astype(np.float32)
    mask[:, 0] = 1
    return mask


def launch_conv(library: CudaLibrary, memory: HostMemory | DriverMemory, conv: Conv, plan: Plan) -> None:
    """One convolution with half of its channels open; RuntimeError if an output is not finite or a masked one not 0."""
    rng = np.random.default_rng(0)
    element = np.float16 if conv.type == FLOAT16 else np.float32
    taps = conv.kernel_h, conv.kernel_w
    scale = open_half(rng, conv.scale_rows, conv.c_out)
    y = np.full((conv.batch, conv.c_out, conv.out_height, conv.out_width), np.nan, element)
    arrays = (
        rng.standard_normal((conv.batch, conv.c_in, conv.height, conv.width)).astype(element),
        rng.standard_normal((*taps, conv.c_in // conv.group, conv.c_out)).astype(element) / 8,
        scale, np.zeros((conv.shift_rows, conv.c_out), np.float32), open_half(rng, conv.active_rows, conv.c_in),
        np.zeros(1, element), y,
    )  # fmt: skip
    tensors = ConvTensors(*map(memory.put, arrays))
    size = library.handle.sanp_cuda_conv_workspace(byref(conv), byref(plan))
    workspace = memory.put(np.zeros(max(1, size), np.uint8))
    library.require(library.handle.sanp_cuda_conv(byref(conv), byref(plan), byref(tensors), c_void_p(workspace), None))
    got = memory.get(tensors.y, y)
    masked = np.broadcast_to(scale == 0, (conv.batch, conv.c_out))
    if not np.isfinite(got).all() or got[masked].any():
        raise RuntimeError(f"{library.describe(plan)}: an output is not finite, or a masked one not zero; {conv}")


def launch_gate(library: CudaLibrary, memory: HostMemory | DriverMemory, gate: Gate) -> None:
    """One gate; RuntimeError if a result is not finite."""
    rng = np.random.default_rng(0)
    element = np.float16 if gate.type == FLOAT16 else np.float32
    shapes = ((gate.hidden, gate.c_in), (gate.hidden,), (gate.c_out, gate.hidden), (gate.c_out,), (gate.c_out,))
    x = rng.standard_normal((gate.batch, gate.c_in, gate.height, gate.width)).astype(element)
    result = np.full((gate.batch, gate.c_out), np.nan, np.float32)
    arrays = [x, *(rng.standard_normal(shape).astype(np.float32) for shape in shapes)]
    arrays += [np.ones((gate.mask_rows, gate.c_out), np.float32), result, result]
    tensors = GateTensors(*map(memory.put, arrays))
    workspace = memory.put(np.zeros(max(1, library.handle.sanp_cuda_gate_workspace(byref(gate))), np.uint8))
    library.require(library.handle.sanp_cuda_gate(byref(gate), byref(tensors), c_void_p(workspace), None))
    for address in (tensors.scale, tensors.shift):
        if not np.isfinite(memory.get(address, result)).all():
            raise RuntimeError("a gate gave a value that is not finite")


def every_kernel(library: CudaLibrary, device: Device) -> Iterator[tuple[Conv, Plan]]:
    """A plan for each kernel of the library that this device can run, once without and once with slices."""
    seen = set()
    for shape in SHAPES:
        for element in (FLOAT16, FLOAT32):
            conv = Conv.from_buffer_copy(shape)
            conv.type, conv.batch, conv.scale_rows, conv.shift_rows, conv.active_rows = element, 2, 2, 2, 2
            for plan in library.candidates(conv, device):
                kernel = (element, plan.algorithm, plan.tile_m, plan.tile_n, plan.split_k > 1)
                if kernel not in seen:
                    seen.add(kernel)
                    yield conv, plan


def main() -> None:
    """Command line."""
    made = parser(__doc__)
    made.add_argument("--library", type=Path, required=True)
    made.add_argument("--memory", choices=list(MEMORIES), default="driver", help="host: of the emulated kernels")
    made.add_argument("--every-kernel", action="store_true", help="one case of each convolution and gate kernel")
    made.add_argument("--conv", type=json.loads, help="fields of SanpCudaConv as JSON")
    made.add_argument("--plan", type=int, default=0, help="which of the library's plans, best guess first")
    options = made.parse_args()
    memory, library = MEMORIES[options.memory](), CudaLibrary(options.library)
    device = library.device()
    convs = []
    if options.conv:
        conv = Conv(**{"act_max": math.inf, **options.conv})
        convs.append((conv, library.candidates(conv, device)[options.plan]))
    gates = []
    if options.every_kernel:
        convs += every_kernel(library, device)
        sizes = {"batch": 2, "c_in": 40, "height": 9, "width": 7, "hidden": 6, "c_out": 50, "mask_rows": 1}
        gates = [
            Gate(type=element, k=k, **{**sizes, **more})
            for element in (FLOAT16, FLOAT32)
            for k in (0, 7)
            for more in GATES
        ]
    for conv, plan in convs:
        launch_conv(library, memory, conv, plan)
    for gate in gates:
        launch_gate(library, memory, gate)
    print(f"{len(convs)} kernels and {len(gates)} gates ran")


if __name__ == "__main__":
    main()
