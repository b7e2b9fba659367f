"""ONNX Runtime is the user's choice: no build is pulled in, every build is known, and two of them are named."""

from __future__ import annotations

import re
import sys
import types

import pytest

from sanp.pipeline.compile.describe import _package_versions
from sanp.pipeline.doctor import examine
from sanp_runtime import load
from sanp_runtime.engines.onnxruntime import distribution
from sanp_targets.errors import TargetError
from tests.house.tree import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture
def builds(monkeypatch):
    """A function that makes these builds the installed ones, as pip would say."""

    def install(**versions):
        real = distribution.importlib.metadata.version
        known = {name.replace("_", "-"): version for name, version in versions.items()}

        def version(name):
            if name in known:
                return known[name]
            if name in distribution.DISTRIBUTIONS:
                raise distribution.importlib.metadata.PackageNotFoundError(name)
            return real(name)

        monkeypatch.setattr(distribution.importlib.metadata, "version", version)

    return install


def test_the_base_install_brings_no_build_of_onnxruntime():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = lambda rows: {re.split(r"[^A-Za-z0-9_-]", row)[0] for row in rows}  # noqa: E731
    assert not names(project["dependencies"]) & set(distribution.DISTRIBUTIONS)
    extras = project["optional-dependencies"]
    assert names(extras["run"]) == {"onnxruntime"} and "run" in extras["all"][0], "`pip install '.[all]'` runs bundles"
    others = [name for name in extras if name != "run"]
    assert not [name for name in others if names(extras[name]) & set(distribution.DISTRIBUTIONS)]


def test_another_build_is_named_in_versions_and_in_the_bundle(builds, bundle_path):
    builds(onnxruntime_openvino="1.22.0")
    assert distribution.installed() == {"onnxruntime-openvino": "1.22.0"}
    with load(bundle_path, variant="dense") as engine:
        versions = engine.versions()
    assert versions["onnxruntime_build"] == "onnxruntime-openvino" and versions["onnxruntime"]
    made_by = _package_versions()
    assert made_by["onnxruntime-openvino"] == "1.22.0" and made_by["onnxruntime"] == "absent"
    assert {row.what: row.detail for row in examine()}["onnxruntime"] == "onnxruntime-openvino 1.22.0"


def test_the_plain_build_is_named_once(bundle_path):
    with load(bundle_path, variant="dense") as engine:
        assert set(engine.versions()) == {"onnxruntime"}


def test_two_builds_are_found_by_the_doctor(builds):
    builds(onnxruntime="1.23.2", onnxruntime_gpu="1.22.0")
    row = {row.what: row for row in examine()}["onnxruntime"]
    assert row.state == "missing" and "overwrite each other's files" in row.detail
    assert row.cure.startswith("run `pip uninstall -y onnxruntime onnxruntime-gpu`, then install the one")


@pytest.mark.parametrize("how", ["empty folder", "half a library"])
def test_builds_that_broke_each_other_are_named_at_import(builds, monkeypatch, bundle_path, how):
    builds(onnxruntime="1.23.2", onnxruntime_openvino="1.22.0")
    if how == "empty folder":
        monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    else:
        monkeypatch.setattr("builtins.__import__", _without_onnxruntime(__import__))
        monkeypatch.delitem(sys.modules, "onnxruntime")
    with pytest.raises(TargetError, match=r"cannot be used .*onnxruntime \S+ and onnxruntime-openvino \S+ are"):
        load(bundle_path, variant="dense")


def test_no_build_at_all_offers_them(monkeypatch, bundle_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(TargetError, match=r"pip install onnxruntime`, or install another build.*onnxruntime-gpu"):
        load(bundle_path, variant="dense")


def _without_onnxruntime(real):
    def imported(name, *arguments, **keywords):
        if name == "onnxruntime":
            raise ImportError("libonnxruntime_providers_shared.so: undefined symbol", name="onnxruntime_pybind11_state")
        return real(name, *arguments, **keywords)

    return imported
