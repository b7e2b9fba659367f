"""Validation of a bundle with rounded weights: what rounding explains passes, and a wrong kernel still does not."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.contract import LIBRARY_FILE, VARIANTS
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.validate import gate_check, replay_check, self_test
from sanp_runtime.validate.tolerance import gate_tolerance, relative_tolerance
from tests.support import tiny_net
from tests.support.tiny_bundle import make_manifest, make_reference

LAYERS = tiny_net.LAYERS
ROUNDED = {"block.a": 1.6e-3, "block.b": 1.7e-3}


def check(reference, logits, standard=None, **more):
    standard = None if standard is None else {"logits": standard}
    return replay_check(LAYERS, {"logits": reference}, {"logits": logits}, standard=standard, **more)


def test_the_tolerance_is_the_documented_sum():
    extra = 8 * math.hypot(1.6e-3, 1.7e-3)
    assert relative_tolerance(LAYERS, rounded=ROUNDED) == pytest.approx(relative_tolerance(LAYERS) + extra)
    # The gates of block.a come before its own weights, those of block.b after the weights of block.a.
    names = [layer.name for layer in LAYERS]
    a, b = names.index("block.a"), names.index("block.b")
    assert gate_tolerance(LAYERS, a, rounded=ROUNDED) == gate_tolerance(LAYERS, a)
    assert gate_tolerance(LAYERS, b, rounded=ROUNDED) == pytest.approx(gate_tolerance(LAYERS, b) + 8 * 1.6e-3)


def test_a_wrong_kernel_is_not_excused_by_the_weights():
    reference = np.array([[4.0, -1.0], [1.0, 0.5]], np.float32)
    standard = reference * np.float32(1.004)
    assert check(reference, standard, rounded=ROUNDED, standard=standard).passed
    assert not check(reference, standard).passed, "without rounded weights this is an error"
    wrong = standard + np.array([[1e-4, 0], [0, 0]], np.float32)
    report = check(reference, wrong, rounded=ROUNDED, standard=standard)
    assert not report.passed and report.failing == 0 and report.standard.failing == 1
    assert "a kernel is wrong" in report.summary()
    row = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert row["passed"] is False and row["standard"]["failing"] == 1
    far = check(reference, reference * np.float32(1.05), rounded=ROUNDED, standard=standard)
    assert far.failing == 2


def test_right_kernels_are_not_blamed_for_what_rounding_costs():
    reference = np.array([[4.0, -1.0], [1.0, 0.5]], np.float32)
    far = reference * np.float32(1.05)
    report = check(reference, far, rounded=ROUNDED, standard=far)
    assert not report.passed and report.standard.passed
    assert "a kernel is wrong" not in report.summary() and "without --bf16-weights" in report.summary()


def test_a_gate_within_the_rounding_of_the_weights_before_it_may_flip():
    reference = make_reference()
    layer = "block.b"
    margin = reference.saliency[layer].copy()
    size = np.abs(margin[2]).max()
    channel = int(np.abs(margin[2]).argmin())
    margin[2, channel] = 5e-3 * size
    reference = dataclasses.replace(reference, saliency={**reference.saliency, layer: margin})
    scales = {name: values.copy() for name, values in reference.scales.items()}
    scales[layer][2, channel] = 0.0 if scales[layer][2, channel] else 1.0
    assert not gate_check(LAYERS, reference, scales).passed
    report = gate_check(LAYERS, reference, scales, rounded=ROUNDED)
    assert report.passed and report.count("rounding") == 1


def rounded_bundle(folder, library, rounded, spoil=None):
    """The tiny network with the weights of two layers rounded; `spoil` may change what the manifest claims of them."""
    weights = tiny_net.weights()
    for layer in rounded:
        bits = weights[f"{layer}.weight"].astype(np.float32).view(np.uint32)
        kept = (bits + ((bits >> 16) & 1) + np.uint32(0x7FFF)) & np.uint32(0xFFFF0000)
        weights[f"{layer}.weight"] = kept.view(np.float32)
    blob, offsets = bytearray(), {}
    with BundleWriter(folder / "rounded.sanp") as writer:
        for kind in VARIANTS:
            writer.add_bytes(f"{kind}.onnx", tiny_net.external(tiny_net.build_graph(kind, weights), offsets, blob))
        writer.add_bytes("weights.bin", bytes(blob))
        if library is not None:
            writer.add_file(LIBRARY_FILE, library)
        writer.add_reference(make_reference())
        build = {"bf16_weights": {"layers": spoil or dict(ROUNDED), "answers": None}}
        return writer.finish(dataclasses.replace(make_manifest(), build=build))


def test_self_test_of_a_rounded_bundle(native_path, tmp_path):
    from sanp_runtime.engines.onnxruntime.library import find_library

    bundle = rounded_bundle(tmp_path, find_library(), ROUNDED)
    result = self_test(bundle)
    assert result.passed, result.summary()
    assert result.replay.standard.worst_share < 0.5
    assert "standard operators" in result.summary()
    plain = self_test(bundle, EngineOptions(library=None))
    assert plain.passed and plain.replay.standard is None, "plain ONNX Runtime is not compared with itself"


def test_rounded_weights_that_the_manifest_does_not_admit_fail(tmp_path):
    bundle = rounded_bundle(tmp_path, None, ROUNDED, spoil={"block.a": 0.0})
    result = self_test(bundle, EngineOptions(library=None))
    assert not result.replay.passed
