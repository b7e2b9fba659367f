"""Fixtures of the toolchain tests."""

import pytest
from made import make_checkpoint


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("trained") / "checkpoint.safetensors")
