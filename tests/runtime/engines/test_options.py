"""Options of an engine: one object, checked in one place; a backend is one line in a table."""

from __future__ import annotations

import dataclasses
import sys
import types

import numpy as np
import pytest

from sanp_runtime import load
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.engines import load as loading
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_targets.errors import ConfigError, InputError, TargetError
from tests.support import tiny_net


def test_defaults_change_nothing():
    assert EngineOptions().check().changed() == {}
    assert EngineOptions(threads=2, library=None).changed() == {"threads": 2, "library": None}


def test_settings_reach_the_session_of_one_engine(native_path):
    with load(native_path, winograd=0, bf16_weights=False) as one, load(native_path) as other:
        assert sorted(one._entries.values()) == ["0", "0"] and other._entries == {}
        x = tiny_net.samples(2)
        np.testing.assert_allclose(one(x).logits, other(x).logits, rtol=1e-4, atol=1e-4)
    with load(native_path, variant="dense", winograd=0) as dense:
        assert dense.library is None, "the baseline runs in plain ONNX Runtime, which has no such settings"
    with pytest.raises(ConfigError, match="'17'"):
        load(native_path, winograd=17)


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2", 10**6])
def test_threads(threads):
    with pytest.raises(ConfigError, match="expected an integer from 1 to 1024"):
        EngineOptions(threads=threads).check()


def test_an_instruction_set_needs_a_library(pristine, bundle):
    with pytest.raises(ConfigError, match="without an operator library"):
        EngineOptions(library=None, isa="avx2").check()
    for setting in ({"winograd": 0}, {"bf16_weights": False}):
        with pytest.raises(ConfigError, match=f"{next(iter(setting))}.*without an operator library"):
            EngineOptions(library=None, **setting).check()
    for attempt in (lambda: load(pristine, library=None, isa="avx2"), lambda: load_bundle(bundle, options=BAD)):
        with pytest.raises(ConfigError):
            attempt()


BAD = EngineOptions(threads=0)


def test_a_backend_is_one_module_and_one_line(bundle, monkeypatch):
    seen = []
    module = types.ModuleType("a_new_backend")
    module.open_engine = lambda *arguments: seen.append(arguments) or "engine"
    monkeypatch.setitem(sys.modules, "a_new_backend", module)
    monkeypatch.setitem(loading.BACKENDS, "vulkan", "a_new_backend")
    other = Bundle(bundle.path, dataclasses.replace(bundle.manifest, target={"name": "x", "backend": "vulkan"}))
    options = EngineOptions(threads=3)
    assert load_bundle(other, "open", options) == "engine" and seen == [(other, "open", options)]
    monkeypatch.delitem(loading.BACKENDS, "vulkan")
    with pytest.raises(TargetError, match="needs the backend 'vulkan', this runtime has onnxruntime and tensorrt"):
        load_bundle(other)
    with pytest.raises(InputError, match="no variant 'fast'"):
        load_bundle(bundle, "fast")
