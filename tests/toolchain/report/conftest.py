"""Real results of the hand-written network of the runtime tests, profiled for a moment in plain ONNX Runtime."""

from __future__ import annotations

import copy

import pytest

from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.profile.profile import profile
from sanp_runtime.validate import self_test
from tests.support.tiny_bundle import fill


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    with BundleWriter(tmp_path_factory.mktemp("report") / "tiny.sanp") as writer:
        bundle = fill(writer)
    return {
        "training": {"dense_accuracy": 0.98, "accuracy": 0.97, "cost": 0.4, "config": {"budget": 0.4, "seed": None}},
        "validation": self_test(bundle, EngineOptions(library=None)).to_json(),
        "profile": profile(bundle, EngineOptions(library=None), duration_s=0.05).to_json(),
        "bundle": bundle.manifest.to_json(),
    }


@pytest.fixture
def results(measured):
    """A private copy that a test may change."""
    return copy.deepcopy(measured)
