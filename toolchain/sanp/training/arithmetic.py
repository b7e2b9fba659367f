"""In which order a processor adds: what the last bits of a training depend on, and the threads that a run keeps.

The number of threads divides sums, so it decides their order; where the surroundings give another number (affinity,
a container, OMP_NUM_THREADS), a run ends with other weights. docs/training.md has what was tried and found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from sanp_targets.processor import processor

THREADS = "threads"


def arithmetic() -> dict[str, Any]:
    """What decides the order of sums on this processor, now."""
    return {
        THREADS: torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "PyTorch": torch.__version__,
        "processor": _model(),
    }


def differences(then: Mapping[str, Any]) -> str:
    """What is different now, such as "threads 2, now 1"; empty if nothing is, or if `then` does not say."""
    now = arithmetic()
    return ", ".join(f"{key} {value}, now {now.get(key)}" for key, value in then.items() if value != now.get(key))


@contextmanager
def own_threads(count: int | None) -> Iterator[None]:
    """As many CPU threads as given, or as there are, until the end; the caller has its own number afterwards.

    The number is set even if it is the present one: as long as nobody sets it, MKL chooses per product how many of the
    threads it uses.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_threads(then: Mapping[str, Any], asked: int | None) -> str:
    """Go on with the threads of `then` unless a number was asked for; what to tell the user, or nothing.

    then: `arithmetic` of the run that goes on, empty where it did not say. To be called inside `own_threads`.
    """
    count, here = then.get(THREADS), torch.get_num_threads()
    if asked is not None or not isinstance(count, int) or count < 1 or count == here:
        return ""
    torch.set_num_threads(count)
    return f"resumed with {count} threads, as the run began, not the {here} of this process: sums round alike"


@cache
def _model() -> str | None:
    found: str | None = processor()["cpu_model"]
    return found
