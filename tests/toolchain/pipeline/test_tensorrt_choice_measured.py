"""The default choice of kernel against the times that were measured on an H100: no layer that was slower is chosen."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from sanp.pipeline.compile import plugin_choice
from sanp.pipeline.compile.plugin_choice import Evidence, choose
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import dense_macs
from sanp_runtime.network.support import Dense
from sanp_targets.targets import Gpu

RESULTS = Path(__file__).parents[3] / "benchmarks/results/gpu"
H100 = Gpu(sm=90, multiprocessors=132, bandwidth_gb_s=3350.0, fp32_tflops=67.0, fp16_tflops=989.0)  # data sheet, SXM
PRECISIONS = {"float16": "fp16", "float32": "fp32"}


def share_of(gpu, multiprocessors):
    part = multiprocessors / gpu.multiprocessors
    rates = {"fp32_tflops": gpu.fp32_tflops * part, "fp16_tflops": gpu.fp16_tflops * part}
    return replace(gpu, multiprocessors=multiprocessors, **rates)


def measured():
    """(GPU, row) of every layer that was timed there."""
    first = json.loads((RESULTS / "first-visit-h100-layers.json").read_text())
    second = json.loads((RESULTS / "second-visit-h100-layers.json").read_text())
    few = second["few_multiprocessors"]
    part = share_of(H100, few["multiprocessors"])
    return [(H100, row) for row in first["layers"] + second["layers"]] + [(part, row) for row in few["layers"]]


def layer_of(row):
    """From "64-128 3x3/2 @56": channels, kernel, stride, input size."""
    found = re.fullmatch(r"(\d+)-(\d+) (\d)x\d(?:/(\d))?( depthwise)? @(\d+)", row["layer"])
    c_in, c_out, kernel, stride, _, size = (int(part) if part and part.isdigit() else 1 for part in found.groups())
    out = (size + 2 * (kernel // 2) - kernel) // stride + 1
    groups = c_in if found[5] else 1
    layer = Layer("layer", c_in, c_out, (out, out), (kernel, kernel), groups=groups, gated=True, support=Dense(c_in))
    assert dense_macs((layer,)) * row["batch"] == row["macs"], row["layer"]
    return layer


def choices():
    """(row, kept fraction, chosen, dense over our kernel with the plan that the library prefers) of every time."""
    for gpu, row in measured():
        layer = layer_of(row)
        for keep, us in row["chosen_us"].items():
            density = float(keep) ** (2 if layer.groups == 1 else 1)
            known = {"layer": density}
            (found,) = choose((layer,), "auto", Evidence(gpu, PRECISIONS[row["element"]], row["batch"], known, {}))
            yield row, keep, found.plugin, row["best_dense_us"] / us


def test_no_layer_is_chosen_that_measured_slower():
    slower = [(row["layer"], row["element"], row["batch"], keep, ratio) for row, keep, plugin, ratio in choices()
              if plugin and ratio < 1]  # fmt: skip
    assert not slower


def test_layers_that_measured_faster_are_chosen_too():
    """Saying no to everything would pass the test above."""
    chosen = {(row["layer"], row["element"]) for row, _, plugin, _ in choices() if plugin}
    assert ("512-512 3x3 @7", "float32") in chosen
    assert len(chosen) > 10
    assert {element for _, element in chosen} == {"float32"}


def test_the_next_smaller_constant_would_choose_slower_layers(monkeypatch):
    """ETA comes from these times and not from elsewhere."""
    monkeypatch.setattr(plugin_choice, "ETA", plugin_choice.ETA - 1)
    assert any(plugin and ratio < 1 for _, _, plugin, ratio in choices())
