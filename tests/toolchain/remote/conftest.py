"""A bundle to run on a board; `remote` of the folder above is the board."""

from __future__ import annotations

from pathlib import Path

import pytest

from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_targets.errors import TargetError
from tests.support.tiny_bundle import fill


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A bundle of the hand-written network with the library of this machine."""
    path = tmp_path_factory.mktemp("bundles") / "tiny.sanp"
    try:
        library = find_library()
    except TargetError as error:
        pytest.skip(str(error))
    with BundleWriter(path) as writer:
        fill(writer, library)
    return path
