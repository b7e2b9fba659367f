"""The operator library of this installation."""

import pytest

from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_targets.errors import TargetError


@pytest.fixture(scope="session")
def library():
    try:
        return find_library()
    except TargetError as error:
        pytest.skip(str(error))
