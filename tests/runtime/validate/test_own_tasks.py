"""Level 2 of networks without classes: agreement of outputs, and a metric of the caller."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from sanp_runtime.bundle.reference import Reference
from sanp_runtime.validate import agreement_check, metric_check, replay_check
from sanp_runtime.validate.tolerance import relative_tolerance
from sanp_targets.errors import ConfigError, InputError
from tests.support import tiny_net

LAYERS = tiny_net.LAYERS
N = 10


def negative_distance(outputs, labels):
    """A metric: how near boxes are to the labels; 0 is best."""
    return -np.abs(outputs["boxes"] - labels).mean()


def fails(outputs, labels):
    raise KeyError("maps")


NOT_CALLABLE = 3
HERE = __name__


@pytest.fixture
def reference():
    rng = np.random.default_rng(0)
    boxes = rng.standard_normal((N, 3, 4)).astype(np.float32)
    maps = 1000 * rng.standard_normal((N, 2, 5, 5)).astype(np.float32)
    scales = {"stem": (rng.random((N, 8)) < 0.5).astype(np.float32)}
    return Reference(np.zeros((N, 1, 1, 1), np.float32), boxes + 0.5, {"boxes": boxes, "maps": maps}, scales)


def strict(value):
    return json.loads(json.dumps(value, allow_nan=False))


def moved(reference, name, sample, by):
    outputs = {key: value.copy() for key, value in reference.outputs.items()}
    outputs[name][sample] += np.float32(by)
    return outputs


def test_every_output_has_a_tolerance_of_its_own(reference):
    """An error that vanishes beside the values of `maps` is large in `boxes`."""
    by = 20 * relative_tolerance(LAYERS)
    assert replay_check(LAYERS, reference.outputs, moved(reference, "maps", 3, by)).passed
    report = replay_check(LAYERS, reference.outputs, moved(reference, "boxes", 3, by))
    assert (report.passed, report.output, report.worst_sample, report.failing) == (False, "boxes", 3, 1)
    assert "sample 3 in boxes" in report.summary() and strict(report.to_json())["output"] == "boxes"


@pytest.mark.parametrize("damage", [lambda o: o.pop("maps"), lambda o: o.update(more=o["maps"]),
                                    lambda o: o.update(maps=o["maps"][:, :1])])  # fmt: skip
def test_other_outputs_are_refused(reference, damage):
    outputs = dict(reference.outputs)
    damage(outputs)
    with pytest.raises(InputError, match="do not match the reference"):
        replay_check(LAYERS, reference.outputs, outputs)


def test_agreement_forgives_other_decisions_and_nothing_else(reference):
    gates = {"stem": reference.scales["stem"].copy()}
    assert agreement_check(LAYERS, reference, reference.outputs, gates).passed
    outputs = moved(reference, "boxes", 4, 0.1)
    report = agreement_check(LAYERS, reference, outputs, gates)
    assert not report.passed and report.same.failing == 1
    assert agreement_check(LAYERS, reference, outputs, gates, relative=0.9).passed
    gates["stem"][4, 2] = 1.0 - gates["stem"][4, 2]
    report = agreement_check(LAYERS, reference, outputs, gates)
    assert report.passed and report.same.samples == N - 1
    assert report.change == pytest.approx(0.1 / np.abs(reference.outputs["boxes"][4]).max(), rel=1e-4)
    assert "1 of 10 samples take another decision" in report.summary()
    assert strict(report.to_json())["kind"] == "agreement"
    outputs["maps"][4] = np.nan
    report = agreement_check(LAYERS, reference, outputs, gates)
    assert not report.passed and strict(report.to_json())["change"] is None


def test_agreement_when_every_sample_decides_otherwise(reference):
    gates = {"stem": 1 - reference.scales["stem"]}
    report = agreement_check(LAYERS, reference, reference.outputs, gates)
    assert report.same is None and report.passed and report.change == 0


def test_a_metric_may_lose_a_share_of_its_size(reference):
    metric = f"{HERE}:negative_distance"
    report = metric_check(metric, reference, reference.outputs)
    assert report.passed and report.engine == report.reference == pytest.approx(-0.5)
    worse = {**reference.outputs, "boxes": reference.outputs["boxes"] - np.float32(0.004)}
    assert metric_check(metric, reference, worse).passed
    assert not metric_check(metric, reference, worse, max_drop=0.003).passed
    worse["boxes"] = reference.outputs["boxes"] - np.float32(0.006)
    report = metric_check(metric, reference, worse)
    assert not report.passed and "missed" in report.summary()
    worse["boxes"] = np.full_like(worse["boxes"], np.nan)
    report = metric_check(metric, reference, worse)
    assert not report.passed and strict(report.to_json())["engine"] is None


@pytest.mark.parametrize(
    ("metric", "kind", "message"),
    [
        ("no colon", ConfigError, "expected module:function"),
        ("does_not_exist_here:f", ConfigError, "cannot be imported"),
        (f"{HERE}:absent", ConfigError, "cannot be imported"),
        (f"{HERE}:NOT_CALLABLE", ConfigError, "is a int"),
        (f"{HERE}:fails", InputError, r"failed \(KeyError: 'maps'\), expected a number from the outputs \{'boxes'"),
    ],
)
def test_metrics_that_do_not_work(reference, metric, kind, message):
    with pytest.raises(kind, match=message):
        metric_check(metric, reference, reference.outputs)


def test_classes_need_a_class_for_each_sample(reference):
    assert not reference.has_classes
    logits = {"logits": np.zeros((N, 4), np.float32)}
    for labels, known in (
        (np.zeros(N, np.int64), True), (np.zeros(N, np.float32), False), (np.zeros((N, 2), np.int64), False), (None,
        False)
    ):  # fmt: skip
        assert dataclasses.replace(reference, labels=labels, outputs=logits).has_classes is known
