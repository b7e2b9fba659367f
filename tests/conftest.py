"""Shared by all tests: the same random numbers, one thread of torch, slow files first, torch's operators read once."""

from __future__ import annotations

import copy
import functools
import importlib
import os
import random
import sys

import numpy as np
import pytest

# For torch and NumPy here and in processes that tests start, before either is imported. There is a test process a core,
# and a second thread in each would wait for the other processes' threads: some tests then take four times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that at the end no process waits for another's long file."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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
