"""Signals that end a block like an exception, so that what it changed is put back, undisturbed."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType
from typing import Iterator, Optional

# SIGHUP comes when the connection to a board is lost. Ctrl-C is an exception already.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_ALL = (*_ENDING, signal.SIGINT)


def _stop(number: int, frame: Optional[FrameType]) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise SystemExit with 128 plus their number.

    Outside the main thread nothing changes, since Python handles signals there alone; an ignored signal stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that would end the process wait until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
