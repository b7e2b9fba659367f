"""Shared by all tests: the same random numbers for every test, and what torch would compute again at every export."""

from __future__ import annotations

import copy
import functools
import importlib
import random
import sys

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _seeded():
    """Seeds the generators that a test may use without saying so; torch only where something has imported it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _operators_are_read_once():
    """Every export gets its own copy of the table of ONNX operators, which torch makes from 500 sources in 0.4 seconds.

    That was a third of the time of a test that exports. A torch with other insides makes its table as before.
    """
    try:
        module = (
            importlib.import_module("torch.onnx._internal.exporter._registration") if "torch" in sys.modules else None
        )
        made = functools.cache(module.ONNXRegistry.from_torchlib)
    except (ImportError, AttributeError):
        yield
        return

    def table(*arguments, **options):
        kept = made(*arguments, **options)
        mine = copy.copy(kept)
        mine.functions = {name: list(found) for name, found in kept.functions.items()}
        return mine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.ONNXRegistry, "from_torchlib", staticmethod(table))
        yield
