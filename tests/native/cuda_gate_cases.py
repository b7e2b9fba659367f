"""Random channel gates for the CUDA kernels, and the operator in NumPy with the order of sums that is promised."""

from __future__ import annotations

import ctypes
from ctypes import byref
from dataclasses import dataclass

import numpy as np

from benchmarks.gpu.cuda_library import FLOAT16, CudaLibrary, Gate, GateTensors

LANES = 16


def ordered_sum(terms: np.ndarray) -> np.ndarray:
    """Float32 sums over the last axis: element j into partial j mod 16 one by one, then 8 + 8, 4 + 4, 2 + 2, 1 + 1."""
    padded = np.zeros((*terms.shape[:-1], -(-terms.shape[-1] // LANES) * LANES), np.float32)
    padded[..., : terms.shape[-1]] = terms
    rows = padded.reshape(*terms.shape[:-1], -1, LANES)
    part = np.zeros((*terms.shape[:-1], LANES), np.float32)
    for i in range(rows.shape[-2]):
        part = part + rows[..., i, :]
    while part.shape[-1] > 1:
        half = part.shape[-1] // 2
        part = part[..., :half] + part[..., half:]
    return part[..., 0]


def dense_relu(w: np.ndarray, b: np.ndarray, v: np.ndarray) -> np.ndarray:
    """relu(w v + b) for every row of v [batch, n], each product rounded."""
    u = ordered_sum(w[None] * v[:, None]) + b
    return np.where(u < 0, np.float32(0), u)


@dataclass
class GateCase:
    """One gate: description and arrays."""

    gate: Gate
    arrays: dict[str, np.ndarray]

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift, every float32 operation in its place."""
        g, a = self.gate, self.arrays
        x = a["x"].astype(np.float32).reshape(g.batch, g.c_in, -1)
        means = ordered_sum(x) / np.float32(x.shape[-1])
        s = dense_relu(a["w2"], a["b2"], dense_relu(a["w1"], a["b1"], means) if g.hidden else means)
        level = np.full((g.batch, 1), g.threshold, np.float32)
        if 0 < g.k < g.c_out:
            level = np.maximum(level, np.sort(s, 1)[:, ::-1][:, g.k : g.k + 1])
        scale = s * (s > level).astype(np.float32) * a["mask"]
        shift = scale * a["bias"].reshape(-1, g.c_out)[0]
        return scale, np.where(scale != 0, shift + a["bias"][1], shift) if g.has_offset else shift

    def run(self, library: CudaLibrary, memory: object) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift from the library, into poisoned memory."""
        nothing = np.full((self.gate.batch, self.gate.c_out), np.nan, np.float32)
        buffers = {n: memory.put(a) for n, a in (*self.arrays.items(), ("scale", nothing), ("shift", nothing))}
        size = library.handle.sanp_cuda_gate_workspace(byref(self.gate))
        workspace = memory.put(np.full(size, 255, np.uint8))
        tensors = GateTensors(**{name: b.pointer for name, b in buffers.items()})
        pointer = ctypes.c_void_p(workspace.pointer)
        library.require(library.handle.sanp_cuda_gate(byref(self.gate), byref(tensors), pointer, memory.stream))
        workspace.read()
        return buffers["scale"].read(), buffers["shift"].read()


def random_gate(rng: np.random.Generator, element: int, **fixed: int) -> GateCase:
    """Any gate, small enough for the emulator; `fixed` sets fields of the description."""
    sizes = dict(
        zip(("batch", "c_in", "height", "width", "hidden", "c_out"), map(int, rng.integers(1, [4, 50, 18, 18, 30, 50])))
    )
    forms = {"hidden": sizes["hidden"] * int(rng.random() < 0.7), "has_offset": int(rng.random() < 0.5)}
    gate = Gate(type=element, threshold=float(rng.choice([0.0, 0.3])), **(sizes | forms | fixed))
    gate.mask_rows = int(rng.choice([1, gate.batch]))

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    arrays = {
        "x": normal(gate.batch, gate.c_in, gate.height, gate.width).astype(np.float16 if element == FLOAT16 else "f4"),
        "w1": normal(gate.hidden, gate.c_in) if gate.hidden else normal(1), "b1": normal(gate.hidden or 1),
        "w2": normal(gate.c_out, gate.hidden or gate.c_in), "b2": normal(gate.c_out),
        "bias": normal(2, gate.c_out) if gate.has_offset else normal(gate.c_out),
        "mask": (rng.random((gate.mask_rows, gate.c_out)) < 0.8).astype(np.float32),
    }  # fmt: skip
    return GateCase(gate, arrays)
