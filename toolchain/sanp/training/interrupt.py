"""SIGINT and SIGTERM during training: finish the step, save, leave."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Set by the first signal; a second SIGINT or SIGTERM acts as usual."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request that the loop reads between steps; no effect outside the main thread.

    A request that comes after the last step, when nobody reads it any more, acts as usual at the end.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    previous = {kind: signal.getsignal(kind) for kind in kinds}

    def ask(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        for kind in kinds:
            signal.signal(kind, previous[kind])

    for kind in kinds:
        signal.signal(kind, ask)
    try:
        yield request
    finally:
        for kind in kinds:
            signal.signal(kind, previous[kind])
    if request.signal is not None:  # whoever obeys it leaves by an exception
        signal.raise_signal(request.signal)
