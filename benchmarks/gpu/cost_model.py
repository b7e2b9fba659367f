"""The cost model of runtime/native/cuda/conv/cost.cc in Python, with its constants as parameters, to fit them to times.

A test demands that it ranks plans as the library does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2] / "runtime/native/cuda/conv/cost.cc"
WIDEST_HALO_STRIP = 64
PACKED = ("packed", "planes")
# Constants of the source that are fitted, and two that stand as numbers in `one_step`.
FITTED = ("kStepLatency", "kBlockCycles", "kLaunchCycles", "kIssuePerCycle")
INLINE = {"products_per_cycle": 1024.0, "fma_per_cycle": 128.0}


def constants() -> dict[str, float]:
    """Today's constants by name, read from the source; ValueError if one of the fitted has gone."""
    lines = re.findall(r"constexpr double (k\w+) = ([\d.* ]+);", SOURCE.read_text(encoding="utf-8"))
    found = {name: math.prod(float(factor) for factor in text.split("*")) for name, text in lines}
    gone = sorted({*FITTED, "kExpectedOpen", "kSharedPerSm", "kSliceCycles"} - found.keys())
    if gone:
        raise ValueError(f"{SOURCE.name} has no constant {gone[0]}; bring cost_model.py up to date")
    return found | INLINE


@dataclass(frozen=True)
class Problem:
    """A shape, a plan's sizes and the device, as the model sees them."""

    conv: Mapping[str, Any]  # fields of SanpCudaConv
    plan: Mapping[str, Any]  # algorithm, tile_m, tile_n, split_k, threads, shared_bytes
    sm_count: int

    @property
    def taps(self) -> int:
        """Products of a kernel window."""
        return self.conv["kernel_h"] * self.conv["kernel_w"]

    def tiling(self) -> tuple[int, int, int, int]:
        """strips, tiles of a strip, width and height of the halo; as `tiling` in shape.cc."""
        c, tile_n = self.conv, self.plan["tile_n"]
        widest = WIDEST_HALO_STRIP if self.plan["algorithm"] == "halo" else c["out_width"]
        strips = -(-c["out_width"] // widest)
        width = -(-c["out_width"] // strips)
        tiles = -(-width * c["out_height"] // tile_n)
        rows = min(c["out_height"], (width - 1 + tile_n - 1) // width + 1)
        halo_w = (width - 1) * c["stride_w"] + (c["kernel_w"] - 1) * c["dilation_w"] + 1
        halo_h = (rows - 1) * c["stride_h"] + (c["kernel_h"] - 1) * c["dilation_h"] + 1
        return strips, tiles, halo_w, halo_h


def packed_window(problem: Problem) -> int:
    """Pixels of the largest window of a tile with its gaps; as `packed_window` in packed_shape.cc."""
    c, tile_n = problem.conv, problem.plan["tile_n"]
    right = (c["out_width"] - 1) * c["stride_w"] - c["pad_left"] + (c["kernel_w"] - 1) * c["dilation_w"]
    row = c["width"] + max(0, c["pad_left"], right - (c["width"] - 1))
    next_row = row * c["stride_h"] - c["out_width"] * c["stride_w"]
    rows = min(c["out_height"] - 1, (c["out_width"] + tile_n - 2) // c["out_width"])
    run = min(tile_n, c["out_height"] * c["out_width"]) - 1
    taps_down, taps_right = (c["kernel_h"] - 1) * c["dilation_h"], (c["kernel_w"] - 1) * c["dilation_w"]
    return run * c["stride_w"] + rows * next_row + taps_down * row + taps_right + 1


def packed_step(problem: Problem, rows: float, k: Mapping[str, float]) -> tuple[float, float, float]:
    """`one_step` where weights are packed: all taps of 16 channels of a window, or 64 channels of 1x1."""
    n, algorithm, latency = problem.plan["tile_n"], problem.plan["algorithm"], k["kStepLatency"]
    if algorithm.startswith("planes"):
        depth = 64
        inputs = 2.0 * depth * n / int(algorithm[-1])
    else:
        depth = 16
        inputs = (0.6 if algorithm == "packed4" else 1.6) * depth * packed_window(problem)
        latency *= 0.75 + problem.plan["tile_m"] * n / 128 / problem.plan["threads"]
    deep = depth * problem.taps
    products = deep * math.ceil(rows / 16) * 16 * n / k["products_per_cycle"]
    return depth, products + (deep * rows / 8 + inputs) / k["kIssuePerCycle"], latency


def pack_cycles(problem: Problem, open_out: float, open_in: float, k: Mapping[str, float]) -> float:
    """Cycles of the launch that packs the weights."""
    c = problem.conv
    lists = 1 if c["scale_rows"] == 1 and c["active_rows"] == 1 else max(c["batch"], 1)
    work = 3 * lists * open_out * open_in * problem.taps / k["kIssuePerCycle"] / problem.sm_count
    return k["kLaunchCycles"] + k["kBlockCycles"] + work


def one_step(problem: Problem, rows: float, k: Mapping[str, float]) -> tuple[float, float, float]:
    """Depth, cycles of work and latency of one turn of the main loop."""
    plan, n = problem.plan, problem.plan["tile_n"]
    algorithm, issue = plan["algorithm"], k["kIssuePerCycle"]
    if algorithm == "direct":
        return 1, 3 * n / 64, k["kStepLatency"] / 16
    if algorithm == "simt":
        work = 16 * math.ceil(rows / 8) * 8 * n / k["fma_per_cycle"] + 2 * 16 * (rows + n) / issue
        return 16, work, k["kStepLatency"] * n / 64
    if algorithm.startswith(PACKED):
        return packed_step(problem, rows, k)
    products = 32 * math.ceil(rows / 16) * 16 * n / k["products_per_cycle"]
    weights, inputs = 1.5 * 32 * rows / issue, 1.3 * 32 * n
    if algorithm.startswith("pointwise"):
        inputs = 2 * 32 * n / int(algorithm[-1])
    elif algorithm == "halo":
        _, _, halo_w, halo_h = problem.tiling()
        inputs = 1.3 * 32 * halo_w * halo_h / problem.taps
    latency = k["kStepLatency"] * (n / 64 if algorithm == "gather" else 1)
    return 32, products + weights + inputs / issue, latency


def estimated_cycles(problem: Problem, k: Mapping[str, float]) -> float:
    """Cycles of the busiest multiprocessor, as the function of the same name in cost.cc."""
    c, plan = problem.conv, problem.plan
    group_in, group_out, batch = c["c_in"] // c["group"], c["c_out"] // c["group"], max(c["batch"], 1)
    lists, halo = plan["algorithm"] != "direct", plan["algorithm"] == "halo"
    open_out = max(1.0, k["kExpectedOpen"] * group_out)
    open_in = max(1.0, k["kExpectedOpen"] * group_in) if lists else group_in
    strips, tiles, _, _ = problem.tiling()
    m_blocks = math.ceil(open_out / plan["tile_m"])
    rows = open_out / m_blocks
    blocks = m_blocks * strips * tiles * c["group"] * batch * plan["split_k"]
    depth, step_work, latency = one_step(problem, rows, k)
    packed = plan["algorithm"].startswith(PACKED)
    turns = math.ceil(open_in / plan["split_k"] / depth)
    if packed:
        steps = turns
    else:
        steps = turns * problem.taps if halo else math.ceil(open_in * problem.taps / plan["split_k"] / depth)
    resident = max(1.0, min(1024 / plan["threads"], k["kSharedPerSm"] // max(plan["shared_bytes"], 1)))
    per_sm = math.ceil(blocks / problem.sm_count)
    waves = math.ceil(per_sm / resident)
    work = per_sm * (steps * step_work + 2 * rows * plan["tile_n"] / k["kIssuePerCycle"])
    waiting = waves * (steps * latency + (k["kBlockCycles"] if lists else k["kStepLatency"]))
    busy = max(work, waiting) + min(work, waiting) / 4
    if packed:
        busy += pack_cycles(problem, open_out, open_in, k)
    if plan["split_k"] == 1:
        return busy
    sums = 4.0 * plan["split_k"] * c["batch"] * c["c_out"] * c["out_height"] * c["out_width"] / problem.sm_count / 16
    return busy + sums + (k["kSliceCycles"] if packed else k["kLaunchCycles"])
