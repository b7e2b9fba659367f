"""The board's side of a connection: takes files, runs one command at a time, and leaves nothing running behind."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Mapping, Optional

from sanp_runtime.board import frames, lock
from sanp_runtime.board.facts import facts
from sanp_runtime.board.faults import Fault
from sanp_runtime.board.job import Job, environment
from sanp_runtime.board.store import CODE, TEMPORARY, Store


class Server:
    """Answers messages until the workstation says goodbye, falls silent, or its connection ends.

    Every answer is a message with the `op` of the question; a fault is one too, and the last. The messages: `open`
    (folder, keep, wait_s, beat_s, silence_s), `have` (files: rows of sha256 and size), `put` (sha256, size, offset, and
    bytes), `run` (files: path -> sha256, python, arguments, timeout_s, grace_s), `list` (folder of the run), `fetch`
    (sha256), `beat`, `bye`.
    """

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._in, self._out = incoming, outgoing
        self._writing, self._ending = threading.Lock(), threading.Lock()
        self._heard = time.monotonic()
        self._store: Optional[Store] = None
        self._job: Optional[Job] = None
        self._keep = True
        self._held: List[socket.socket] = []
        self._ends = False

    def serve(self) -> None:
        """Answer until the end."""
        try:
            for head, payload in iter(lambda: frames.read(self._in), None):
                self._heard = time.monotonic()
                if head["op"] == "bye":
                    return
                getattr(self, "_do_" + head.pop("op"))(head, payload)
        except Fault as fault:
            self.say(fault.to_json())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.say(Fault("message", text=f"{type(error).__name__}: {error}").to_json())
        finally:
            self.end()

    def say(self, head: Mapping[str, Any], payload: bytes = b"") -> None:
        """Send a message; where nobody reads any more, `serve` sees the end of its input."""
        with self._writing, contextlib.suppress(OSError, ValueError):
            frames.write(self._out, head, payload)

    def end(self) -> None:
        """Stop what runs and remove what only the run needed; once, and no signal stops it."""
        self._ends = True
        with self._ending:
            job, store = self._job, self._store
            self._job = self._store = None
            if job is not None:
                job.stop()
            if store is not None:
                (store.end_run if self._keep else store.clear)()

    def stop(self, *_: Any) -> None:
        """Handle a signal: the first one ends `serve`, a later one has nothing to stop."""
        if not self._ends:
            self._ends = True
            sys.exit(1)

    def _do_open(self, head: Dict[str, Any], _: bytes) -> None:
        if os.uname().sysname != "Linux":
            raise Fault("system", system=os.uname().sysname)
        folder, self._keep = Path(head["folder"]).expanduser(), head["keep"]
        for beat in (self._beat, self._watch):
            threading.Thread(target=beat, args=(head,), daemon=True).start()
        with self._at_work():
            self._held.append(lock.take(head["wait_s"]))
            self._store = Store(folder)
        self.say({"op": "open", **facts(folder)})

    def _do_have(self, head: Dict[str, Any], _: bytes) -> None:
        store = self._opened()
        with self._at_work():
            found = [store.held(sha, size) for sha, size in head["files"]]
        self.say({"op": "have", "bytes": found})

    def _do_put(self, head: Dict[str, Any], payload: bytes) -> None:
        sha, size, offset = head["sha256"], head["size_of_file"], head["offset"]
        with self._at_work():
            whole = self._opened().put(sha, size, offset, payload)
        if offset + len(payload) == size:
            self.say({"op": "put", "sha256": sha, "ok": whole})

    def _do_run(self, head: Dict[str, Any], _: bytes) -> None:
        if self._job is not None:
            raise Fault("message", text="a command is running")
        store = self._opened()
        with self._at_work():
            store.lay_out(head["files"])
        env = environment(store.run / CODE, store.run / TEMPORARY, os.environ.get("PYTHONPATH"))
        self._job = Job(head["python"], head["arguments"], store.run, env, self._log, head["grace_s"])
        threading.Thread(target=self._finish, args=(self._job, head["timeout_s"]), daemon=True).start()

    def _do_list(self, head: Dict[str, Any], _: bytes) -> None:
        store = self._opened()
        with self._at_work():
            paths = sorted(path for path in (store.run / head["folder"]).iterdir() if path.is_file())
            found = {path.name: store.adopt(path) for path in paths}
        self.say({"op": "list", "files": found})

    def _do_fetch(self, head: Dict[str, Any], _: bytes) -> None:
        for chunk in self._opened().read(head["sha256"]):
            self.say({"op": "chunk"}, chunk)
        self.say({"op": "fetch"})

    def _do_beat(self, _: Dict[str, Any], __: bytes) -> None:
        """Nothing more: it was heard."""

    def _finish(self, job: Job, timeout_s: float) -> None:
        try:
            code = job.wait(timeout_s)
        except Fault as fault:
            self.say(fault.to_json())
            return
        self._job = None
        self.say({"op": "run", "code": code}, job.output())

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Nobody listens meanwhile, which is no silence of the other side: files are hashed, maybe on a slow disk."""
        self._heard = math.inf
        try:
            yield
        finally:
            self._heard = time.monotonic()

    def _log(self, line: str) -> None:
        self.say({"op": "log", "line": line})

    def _opened(self) -> Store:
        if self._store is None:
            raise Fault("message", text="nothing was opened")
        return self._store

    def _beat(self, head: Mapping[str, Any]) -> None:
        while True:
            time.sleep(head["beat_s"])
            self.say({"op": "beat"})

    def _watch(self, head: Mapping[str, Any]) -> None:
        """The end of a connection that no system noticed: a cable that was pulled, a machine that sleeps."""
        while time.monotonic() - self._heard < head["silence_s"]:
            time.sleep(min(1.0, head["silence_s"] / 4))
        self.end()
        os._exit(1)


def main() -> None:
    """Serve standard input and output of this process."""
    server = Server(sys.stdin.buffer, sys.stdout.buffer)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, server.stop)
    sys.stdout.buffer.write(frames.MAGIC)
    sys.stdout.buffer.flush()
    server.serve()
