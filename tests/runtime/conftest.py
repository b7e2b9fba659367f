"""Fixtures of the runtime tests: a compiled bundle of the hand-written network, with and without the real library."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sanp_runtime.bundle.reader import Bundle, open_bundle
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_targets.errors import TargetError
from tests.support.tiny_bundle import fill


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without an operator library; do not modify it."""
    path = tmp_path_factory.mktemp("bundles") / "tiny.sanp"
    with BundleWriter(path) as writer:
        fill(writer)
    return path


@pytest.fixture
def bundle_path(pristine: Path, tmp_path: Path) -> Path:
    """A private copy that a test may damage."""
    return Path(shutil.copytree(pristine, tmp_path / "tiny.sanp"))


@pytest.fixture(scope="session")
def bundle(pristine: Path) -> Bundle:
    return open_bundle(pristine)


@pytest.fixture(scope="session")
def native_library() -> Path:
    try:
        return find_library()
    except TargetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def native_path(native_library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the operator library of this machine."""
    path = tmp_path_factory.mktemp("native") / "tiny.sanp"
    with BundleWriter(path) as writer:
        fill(writer, native_library)
    return path
