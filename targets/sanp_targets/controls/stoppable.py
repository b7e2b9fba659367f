"""Signals that end a block like an exception, once, so that what it changed is put back, undisturbed."""

from __future__ import annotations

import contextlib
import signal
import threading
from dataclasses import dataclass
from types import FrameType
from typing import Iterator, Optional

# Ctrl-C, the polite end, and a connection to a board that is lost.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@dataclass
class Stop:
    """ending: the block is being left, so that further signals have nothing to stop. Set it before putting back."""

    ending: bool = False

    def __call__(self, number: int, frame: Optional[FrameType]) -> None:
        """The handler: the first signal raises, as Ctrl-C or as the end of the process."""
        if self.ending:
            return
        self.ending = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Within the block the first of these signals raises: KeyboardInterrupt, or SystemExit with 128 plus its number.

    Outside the main thread nothing changes, since Python handles signals there alone; an ignored signal stays ignored.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Signals wait until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
