"""Shared by all tests: every test starts from the same random numbers, whatever ran before it."""

from __future__ import annotations

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
