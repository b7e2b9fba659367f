"""The three levels: honest engines pass, every kind of damage is caught and named."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from sanp_runtime import load
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.validate import gate_check, replay_check, self_test, task_check
from sanp_runtime.validate.tolerance import EPS, fan_in, gate_tolerance, relative_tolerance
from sanp_targets.errors import ConfigError, InputError
from tests.support import tiny_net
from tests.support.tiny_bundle import make_reference

LAYERS = tiny_net.LAYERS


def check(reference, logits, exact=None, **more):
    return replay_check(
        LAYERS, {"logits": reference}, {"logits": logits}, exact=None if exact is None else {"logits": exact}, **more
    )


def strict(value):
    return json.loads(json.dumps(value, allow_nan=False))


def test_tolerance_is_the_documented_sum():
    assert [fan_in(layer) for layer in LAYERS] == [27, 72, 72, 8]
    assert relative_tolerance(LAYERS) == pytest.approx(8 * EPS * (27**0.5 + 2 * 72**0.5 + 8**0.5))
    assert gate_tolerance(LAYERS, 1) == pytest.approx(8 * EPS * (27**0.5 + 8 + 8**0.5 + 4**0.5))


@pytest.mark.parametrize("place", ["plain", "native"])
def test_self_test_passes(request, place):
    if place == "plain":
        result = self_test(request.getfixturevalue("pristine"), EngineOptions(library=None))
        assert result.proof is None
    else:
        result = self_test(request.getfixturevalue("native_path"))
        assert result.proof.passed
    assert result.passed and result.replay.worst_share < 0.5
    assert result.gates.agreement == 1 and result.task.accuracy == 1
    assert result.summary().count("PASS") == (3 if place == "plain" else 4)
    assert strict(result.to_json())["passed"] is True


def test_replay_catches_one_wrong_product(pristine):
    """Drop one of 72 products of one filter: the smallest mistake that a kernel can make."""
    reference, weights = make_reference(), tiny_net.weights()
    used = int((reference.scales["stem"] != 0).sum(0).argmax())
    weights["block.a.weight"][int((reference.scales["block.a"] != 0).sum(0).argmax()), used, 1, 1] = 0
    wrong = tiny_net.reference(weights, reference.x, reference.scales)["logits"]
    report = check(reference.logits, wrong)
    assert not report.passed and report.worst_share > 100
    assert "a kernel is wrong" in report.summary()


def test_replay_boundary_and_nan():
    reference = np.array([[4.0, -1.0], [1.0, 0.5]], np.float32)
    tolerance = relative_tolerance(LAYERS)
    inside = reference.astype(np.float64) + np.array([[3.9, 0], [0, 0.9]]) * tolerance
    assert check(reference, inside).passed
    outside = reference.astype(np.float64) + np.array([[3.9, 0], [0, 1.1]]) * tolerance
    report = check(reference, outside)
    assert (report.passed, report.failing, report.worst_sample) == (False, 1, 1)
    for bad in (np.nan, np.inf):
        broken = reference.copy()
        broken[0, 1] = bad
        report = check(reference, broken)
        assert not report.passed and report.worst_sample == 0
        assert strict(report.to_json())["max_error"] is None
    assert check(np.zeros((1, 2)), np.zeros((1, 2))).passed


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (0, 2), (4,)])
def test_replay_shapes(shape):
    with pytest.raises(InputError):
        check(np.zeros((2, 2)), np.zeros(shape))
    with pytest.raises(InputError):
        check(np.zeros((0, 2)), np.zeros((0, 2)))


def flipped(reference: Reference, *places: tuple[str, int, int]) -> dict[str, np.ndarray]:
    gates = {name: scale.copy() for name, scale in reference.scales.items()}
    for layer, sample, channel in places:
        value = gates[layer][sample, channel]
        gates[layer][sample, channel] = 0.0 if value else 1.0
    return gates


def with_margin(reference: Reference, layer: str, sample: int, channel: int, margin: float) -> Reference:
    saliency = {name: value.copy() for name, value in reference.saliency.items()}
    saliency[layer][sample, channel] = margin
    return dataclasses.replace(reference, saliency=saliency)


def test_equal_gates():
    reference = make_reference()
    report = gate_check(LAYERS, reference, reference.scales)
    assert report.passed and report.agreement == 1 and report.first_layer is None
    assert report.decisions == 3 * 6 * 8 == sum(report.histogram["counts"])
    assert set(report.open_fraction) == set(tiny_net.GATED)


def test_flip_far_from_the_bound_is_a_mismatch():
    reference = make_reference()
    report = gate_check(LAYERS, reference, flipped(reference, ("block.a", 2, 5)))
    assert not report.passed and report.first_layer == "block.a"
    (flip,) = report.flips
    assert (flip.sample, flip.channel, flip.kind) == (2, 5, "mismatch")
    assert abs(flip.margin) > flip.tolerance
    assert "block.a, sample 2, channel 5" in report.summary()
    assert strict(report.to_json())["flips"]["mismatch"] == 1


def test_flip_at_the_bound_is_rounding():
    reference = with_margin(make_reference(), "block.a", 2, 5, 1e-7)
    report = gate_check(LAYERS, reference, flipped(reference, ("block.a", 2, 5)))
    assert report.passed and report.count("rounding") == 1 and report.agreement < 1
    assert report.histogram["counts"][0] + report.histogram["counts"][1] >= 1


def test_flips_after_a_flip_are_consequences_in_that_sample_only():
    reference = with_margin(make_reference(), "stem", 2, 0, 1e-8)
    gates = flipped(reference, ("stem", 2, 0), ("block.a", 2, 1), ("block.b", 2, 3))
    report = gate_check(LAYERS, reference, gates)
    assert [flip.kind for flip in report.flips] == ["rounding", "consequence", "consequence"]
    assert report.passed and report.first_layer == "stem"
    other = gate_check(LAYERS, reference, flipped(reference, ("stem", 2, 0), ("block.a", 3, 1)))
    assert [flip.kind for flip in other.flips] == ["rounding", "mismatch"]
    assert other.first_layer == "stem" and "first in block.a, sample 3" in other.summary()


def test_two_flips_of_one_layer_are_both_judged():
    reference = with_margin(make_reference(), "stem", 2, 0, 1e-8)
    report = gate_check(LAYERS, reference, flipped(reference, ("stem", 2, 0), ("stem", 2, 1)))
    assert [flip.kind for flip in report.flips] == ["rounding", "mismatch"]


def test_static_gates_have_no_excuse():
    reference = dataclasses.replace(make_reference(), saliency={})
    assert gate_check(LAYERS, reference, reference.scales).passed
    report = gate_check(LAYERS, reference, flipped(reference, ("stem", 0, 0)))
    assert not report.passed and "static gate" in report.summary()
    strict(report.to_json())


def test_nan_gates_never_pass():
    reference = make_reference()
    gates = flipped(reference)
    gates["stem"][0, 0] = np.nan
    gates["block.a"][0, 0] = np.nan
    report = gate_check(LAYERS, reference, gates)
    assert report.count("mismatch") == 2
    strict(report.to_json())


def test_gates_of_another_network():
    reference = make_reference()
    with pytest.raises(InputError, match="'stem'"):
        gate_check(LAYERS, reference, {})
    with pytest.raises(InputError, match="expected"):
        gate_check(LAYERS, reference, dict(reference.scales, stem=np.zeros((6, 7), np.float32)))


def test_real_damage_is_found_at_its_layer(pristine):
    """Perturb the saliency module of one layer in the reference: L1 must point at exactly that layer."""
    x, weights = tiny_net.samples(6), tiny_net.weights()
    weights["block.a.gate.b2"] += 1.5
    answers = tiny_net.reference(weights, x)
    names = tiny_net.GATED
    wrong = dataclasses.replace(
        make_reference(),
        scales={name: answers[f"scale/{name}"] for name in names},
        saliency={name: answers[f"saliency/{name}"] - np.float32(tiny_net.THRESHOLD) for name in names},
    )
    with load(pristine, library=None) as engine:
        report = gate_check(LAYERS, wrong, engine(x).gates)
    assert not report.passed and report.first_layer == "block.a"
    assert {flip.layer for flip in report.flips if flip.kind == "mismatch"} == {"block.a"}


def answers(correct: int, n: int = 100) -> tuple[Reference, np.ndarray]:
    """A reference that is right on all n samples and logits that are right on `correct` of them."""
    labels = np.arange(n, dtype=np.int64) % 5
    perfect = np.eye(5, dtype=np.float32)[labels]
    logits = perfect.copy()
    logits[correct:] = np.roll(perfect[correct:], 1, axis=1)
    return Reference(np.zeros((n, 1, 1, 1), np.float32), labels, {"logits": perfect}), logits


@pytest.mark.parametrize(
    ("correct", "gates", "passed"),
    [
        (100, {}, True),
        (99, {}, True),
        (98, {}, False),
        (98, {"relative": 0.98}, True),
        (99, {"max_drop": 0.01}, True),
        (99, {"max_drop": 0.009}, False),
        (99, {"relative": 1.0}, False),
        (0, {"relative": 0.0, "max_drop": 1.0}, True),
    ],
)
def test_task_gates(correct, gates, passed):
    reference, logits = answers(correct)
    report = task_check(reference, logits, **gates)
    assert report.passed is passed and report.engine_correct == correct == report.equal_predictions
    assert strict(report.to_json())["passed"] is passed


def test_task_counts_nan_as_wrong():
    reference, logits = answers(100)
    logits[3, 2] = np.nan
    logits[7, int(reference.labels[7])] = np.inf
    assert task_check(reference, logits).engine_correct == 98


def test_task_arguments():
    reference, logits = answers(100)
    with pytest.raises(InputError):
        task_check(reference, logits[:50])
    for gates in ({"relative": 1.1}, {"max_drop": -0.1}, {"relative": float("nan")}):
        with pytest.raises(ConfigError, match="expected a share"):
            task_check(reference, logits, **gates)


def test_self_test_fails_for_a_bundle_with_other_answers(tmp_path):
    from sanp_runtime.bundle.writer import BundleWriter
    from sanp_runtime.contract import VARIANTS
    from tests.support.tiny_bundle import make_manifest

    reference = make_reference()
    weights, blob, offsets = tiny_net.weights(seed=4), bytearray(), {}
    with BundleWriter(tmp_path / "other.sanp") as writer:
        for kind in VARIANTS:
            writer.add_bytes(f"{kind}.onnx", tiny_net.external(tiny_net.build_graph(kind, weights), offsets, blob))
        writer.add_bytes("weights.bin", bytes(blob))
        writer.add_reference(reference)
        bundle = writer.finish(make_manifest())
    result = self_test(bundle, EngineOptions(library=None))
    assert not result.passed and not result.replay.passed and not result.gates.passed
    assert "FAIL" in result.summary()


def test_decisions_for_pixels_explain_what_rounding_does_not():
    """Few samples with such a pixel, or errors of the size that double precision makes; a wrong kernel is neither."""
    rng = np.random.default_rng(0)
    reference = rng.standard_normal((20, 5)).astype(np.float32)
    exact = reference.astype(np.float64)
    exact[3] += 1e-3
    few = reference.copy()
    few[:10] += 0.5
    assert not check(reference, few).passed
    report = check(reference, few, exact=exact)
    assert report.passed and report.failing == 10
    assert "10 of 20 samples agree within rounding" in report.summary()
    few[10] += 0.5
    assert not check(reference, few, exact=exact).passed
    small = reference + np.float32(2e-3)
    assert check(reference, small, exact=exact).passed
    assert not check(reference, reference + np.float32(5e-3), exact=exact).passed
    few[:] = reference
    few[0] = np.nan
    assert not check(reference, few, exact=exact).passed, "NaN is explained by nothing"
