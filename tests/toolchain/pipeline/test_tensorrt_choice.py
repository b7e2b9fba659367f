"""The choice of kernel per layer: density from the samples, the model's limits, and measurements that overrule it."""

import json

import numpy as np
import pytest

from sanp.pipeline.compile.plugin_choice import (
    ETA,
    NOT_MEASURED,
    Evidence,
    break_even,
    choose,
    densities,
    read_layer_times,
)
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.support import Dense, Gate
from sanp_targets.errors import ConfigError, InputError
from sanp_targets.targets import resolve

FIRST = Layer("first", 64, 128, (56, 56), (3, 3), gated=True, support=Dense(64))
SECOND = Layer("second", 128, 128, (56, 56), (3, 3), gated=True, support=Gate("first"))
HEAD = Layer("head", 128, 10, (1, 1), head=True, support=Gate("second"))
LAYERS = (FIRST, SECOND, HEAD)


def evidence(gpu="jetson-agx-orin", precision="fp32", batch=1, known=None, measured=None):
    return Evidence(resolve(gpu).gpu, precision, batch, known or {}, measured or {})


def reference(first, second):
    scales = {"first": np.array(first, np.float32), "second": np.array(second, np.float32)}
    n = len(scales["first"])
    return Reference(np.zeros((n, 64, 56, 56), "f"), np.zeros(n, "i8"), {"logits": np.zeros((n, 10), "f")}, scales)


def test_density_is_the_mean_of_the_products():
    """Two samples with disjoint halves open: each computes a quarter of the second layer, and so does the mean."""
    left = np.repeat([[0.5, 0.0]], 64, axis=1).reshape(1, 128)
    right = 0.5 - left
    found = densities(LAYERS, reference(np.concatenate([left, right]), np.concatenate([left, right])))
    assert found == {"first": pytest.approx(0.5), "second": pytest.approx(0.25)}
    some = densities(LAYERS, reference(np.ones((2, 128)), np.stack([np.zeros(128), np.ones(128)])))
    assert some == {"first": pytest.approx(1.0), "second": pytest.approx(0.5)}
    assert densities(LAYERS, None) == {}


def test_explicit_choices():
    layers = lambda wanted: [row.layer for row in choose(LAYERS, wanted, evidence()) if row.plugin]  # noqa: E731
    assert layers("all") == ["first", "second"] and layers("none") == [] and layers(" second ") == ["second"]
    for wrong in ("", "head", "first,third"):
        with pytest.raises(ConfigError, match="some of first, second"):
            layers(wrong)


def test_the_model_prefers_the_plugin_below_its_break_even():
    limit = break_even(SECOND, evidence())
    assert 0.1 < limit <= 1 / ETA + 0.1
    for density, plugin in ((limit - 0.01, True), (limit + 0.01, False)):
        row = choose((FIRST, SECOND), "auto", evidence(known={"first": 1.0, "second": density}))[1]
        assert row.plugin is plugin and f"{density:.3f}" in row.reason and f"{limit:.3f}" in row.reason
        assert NOT_MEASURED in row.reason


def test_break_even_moves_the_right_way():
    """More work per call is worth more skipping; a faster GPU leaves only launches, where a plugin loses."""
    tiny = Layer("tiny", 8, 8, (4, 4), (3, 3), gated=True, support=Dense(8))
    assert break_even(tiny, evidence()) == 0 < break_even(SECOND, evidence())
    assert break_even(tiny, evidence(batch=1024)) > 0
    assert break_even(SECOND, evidence("jetson-thor")) < break_even(SECOND, evidence("jetson-orin-nano"))


def test_without_what_decides_the_plugin_is_not_used_and_the_reason_says_so():
    """An engine with a plugin that nothing speaks for may be slower than the dense one."""
    open_ = {"first": 0.01, "second": 0.01, "stem": 0.01}
    stem = Layer("stem", 3, 64, (112, 112), (7, 7), gated=True, support=Dense(3))
    for said, found in (
        ("no samples", choose(LAYERS, "auto", evidence())),
        ("of this GPU", choose(LAYERS, "auto", evidence("x86-cuda", known=open_))),
        ("in fp16", choose(LAYERS, "auto", evidence("jetson-orin-nano", "fp16", known=open_))),
        ("fewer than 16 input channels", choose((stem,), "auto", evidence("jetson-orin-nano", known=open_))),
    ):
        assert all(not row.plugin and said in row.reason and NOT_MEASURED in row.reason for row in found), found
    assert all(row.plugin for row in choose(LAYERS, "auto", evidence("jetson-orin-nano", known=open_)))


def test_measurements_overrule_the_model(tmp_path):
    rows = [
        {"name": "first", "gated": True, "gated_ms": 0.5, "gate_ms": 0.2, "dense_ms": 0.4},
        {"name": "second", "gated": True, "gated_ms": 0.5, "gate_ms": None, "dense_ms": 0.4},
        {"name": "lost", "gated": True, "gated_ms": 0.5, "gate_ms": 0.1, "dense_ms": None},
        {"name": "head", "gated": False, "gated_ms": 0.5, "gate_ms": None, "dense_ms": 0.1},
    ]
    profile = {"kind": "profile", "bundle": {"target": {"name": "jetson-agx-orin"}}, "layers": rows}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(profile))
    times = read_layer_times(path, "jetson-agx-orin")
    assert times == {"first": (pytest.approx(0.3), 0.4), "second": (0.5, 0.4)}
    known = {"first": 1.0, "second": 0.0}
    first, second = choose((FIRST, SECOND), "auto", evidence(known=known, measured=times))
    assert first.plugin and not second.plugin and "0.3000 ms in our kernel, 0.4000 ms dense" in first.reason
    with pytest.raises(InputError, match="for jetson-agx-orin, expected a profile for x86-cuda"):
        read_layer_times(path, "x86-cuda")
