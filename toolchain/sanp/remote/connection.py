"""A connection to a board: ssh as a process, messages both ways, and a clear end whoever ends it."""

from __future__ import annotations

import collections
import contextlib
import queue
import subprocess
import threading
import time
from types import TracebackType
from typing import IO, Any

from sanp.remote import faults
from sanp.remote.command import board_program, ssh_command
from sanp.settings.remote import RemotePart
from sanp_runtime.board import frames

BEAT_S = 10.0  # a side that has nothing to say says so
SILENCE_S = 60.0  # after which the other side counts as gone
WAIT_S = 15.0  # for a run whose connection was lost to end on the board, a little more than the grace of most
LINGER_S = 15.0  # for ssh to end after a goodbye; the board's side ends its run without it, too
_SAID_LINES = 40


class Connection:
    """Context manager around the board's `Server`. Every fault is a TargetError that names the board.

    doing: what happens now, for the sentence about a connection that is lost.
    """

    def __init__(self, remote: RemotePart) -> None:
        self.remote = remote
        self.doing = "connecting"
        self._said: collections.deque[str] = collections.deque(maxlen=_SAID_LINES)
        self._messages: queue.Queue[frames.Message | None] = queue.Queue()
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._started = self._silent = False
        self._heard = time.monotonic()

    def __enter__(self) -> Connection:
        program = board_program()
        pipe: Any = subprocess.PIPE
        try:
            self._process = subprocess.Popen(ssh_command(self.remote, program), stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise faults.no_ssh(self.remote, error) from error
        self._heard = time.monotonic()
        for target in (self._listen, self._hear, self._beat, self._watch):
            threading.Thread(target=target, daemon=True).start()
        try:
            with self._writing, contextlib.suppress(OSError):  # `receive` says what stopped ssh
                self._stream(self._process.stdin).write(program)
                self._stream(self._process.stdin).flush()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        in_peace = kind is None or issubclass(kind, Exception)  # and not Ctrl-C, which waits for nothing
        if in_peace:
            with contextlib.suppress(OSError, ValueError):
                self._write({"op": "bye"})
        self.close(LINGER_S if in_peace else 0.0)

    def send(self, op: str, payload: bytes = b"", **head: Any) -> None:
        """Send a message; if the board has gone, raise what it said last."""
        try:
            self._write({"op": op, **head}, payload)
        except (OSError, ValueError):
            while True:  # a fault that came before the end says why
                self.receive()

    def receive(self, *wanted: str) -> frames.Message:
        """The next message, beats left out. Raises the sentence about a fault, a lost connection or another message."""
        while True:
            message = self._messages.get()
            if message is None:
                self._messages.put(None)
                raise self._gone()
            head, payload = message
            if head["op"] == "fault":
                raise faults.of_board(self.remote, head)
            if head["op"] == "beat":
                continue
            if wanted and head["op"] not in wanted:
                raise faults.of_board(self.remote, {"text": f"{head['op']} in place of {' or '.join(wanted)}"})
            return head, payload

    def close(self, linger_s: float = 0.0) -> None:
        """End ssh, at once or when the board has ended; the board's side stops everything that it started."""
        self._closed.set()
        if not linger_s:  # first: closing writes what is left, and waits for ever where a dead link takes nothing
            self._process.kill()
        with contextlib.suppress(OSError, ValueError):
            self._stream(self._process.stdin).close()
        try:
            self._process.wait(linger_s or None)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _gone(self) -> Exception:
        if self._started:
            return faults.lost(self.remote, self.doing, list(self._said), SILENCE_S if self._silent else None)
        code = None
        if not self._silent:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(LINGER_S)
        time.sleep(0.05)  # the last line of standard error comes by another thread
        return faults.not_started(self.remote, code, list(self._said))

    def _write(self, head: dict[str, Any], payload: bytes = b"") -> None:
        with self._writing:
            frames.write(self._stream(self._process.stdin), head, payload)

    def _listen(self) -> None:
        stream = self._stream(self._process.stdout)
        with contextlib.suppress(OSError, ValueError):
            if frames.skip_to_magic(stream) is not None:
                self._started = True
                for message in iter(lambda: frames.read(stream), None):
                    self._heard = time.monotonic()
                    self._messages.put(message)
        self._messages.put(None)

    def _hear(self) -> None:
        for line in self._stream(self._process.stderr):
            self._said.append(line.decode("utf-8", "replace").strip())

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_S):
            with contextlib.suppress(OSError, ValueError):
                self._write({"op": "beat"})

    def _watch(self) -> None:
        """A thread of its own: all others may be held up in writing to a connection that is dead."""
        while not self._closed.wait(SILENCE_S / 8):
            if time.monotonic() - self._heard > SILENCE_S:
                self._silent = True
                self._process.kill()
                self._messages.put(None)  # what ssh has started may keep its output open
                return

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> Any:
        assert stream is not None
        return stream
