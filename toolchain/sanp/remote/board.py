"""A board that was reached: what it is, files sent to it, commands run on it, and files that come back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from sanp.remote import connection, faults
from sanp.remote.files import Sent
from sanp.settings.remote import RemotePart
from sanp_runtime.board.frames import CHUNK
from sanp_runtime.board.job import GRACE_S
from sanp_targets.errors import InputError, TargetError

Log = Callable[[str], None]


@dataclass(frozen=True)
class Facts:
    """What `sanp_runtime.board.facts` says of a board."""

    machine: str
    system: str
    name: str
    python: str
    cores: int
    packages: tuple[str, ...]
    folder: str
    free: int


@dataclass(frozen=True)
class Ran:
    """How a command ended: its exit code (negative for a signal), standard output, and lines of standard error."""

    code: int
    output: bytes
    lines: tuple[str, ...]


class Board:
    """Context manager: nobody else runs on the board until it ends, and nothing of ours runs there afterwards.

        with Board(remote, log) as board:
            ran = board.run(["-m", "sanp_runtime", "info", "net.sanp"], {**of_code(), **of_bundle(bundle, "net.sanp")})

    log: called with one sentence before what takes long. Raises TargetError if the board cannot be reached or used.
    """

    def __init__(self, remote: RemotePart, log: Log = lambda text: None) -> None:
        self.remote, self._log = remote, log
        self._connection = connection.Connection(remote)

    def __enter__(self) -> Board:
        self._connection.__enter__()
        try:
            self._connection.send(
                "open",
                folder=self.remote.board_folder,
                keep=self.remote.keep,
                wait_s=connection.WAIT_S,
                beat_s=connection.BEAT_S,
                silence_s=connection.SILENCE_S,
            )
            head, _ = self._connection.receive("open")
            head.pop("op")
            self.facts = Facts(**{**head, "packages": tuple(head["packages"])})
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, value, trace)

    def run(
        self, arguments: Sequence[str], files: Mapping[str, Sent], doing: str = "running", grace_s: float = GRACE_S
    ) -> Ran:
        """Send what the board lacks of these files (path in the run -> file), then run Python with these arguments.

        The paths are relative to the folder of the run. Lines of standard error go to the log as they come. grace_s:
        seconds between the request to stop, at a time limit or a lost connection, and the end by force.
        """
        self.send(files, room=sum(sent.size for sent in files.values()))
        self._connection.doing = doing
        self._connection.send(
            "run",
            files={path: sent.sha256 for path, sent in files.items()},
            python=self.remote.board_python,
            arguments=list(arguments),
            timeout_s=self.remote.board_timeout,
            grace_s=grace_s,
        )
        lines: list[str] = []
        while True:
            head, payload = self._connection.receive("log", "run")
            if head["op"] == "run":
                return Ran(head["code"], payload, tuple(lines))
            lines.append(head["line"])
            self._log(f"{self.remote.host}: {head['line']}")

    def send(self, files: Mapping[str, Sent], room: int = 0) -> None:
        """Bring files to the board, as far as they are not there; the rest of one that was cut off.

        room: bytes that a run needs beside them; a TargetError says so before anything is sent.
        """
        distinct = {sent.sha256: sent for sent in files.values()}
        wanted = list(distinct.values())
        missing = self._missing(wanted)
        total = sum(sent.size - offset for sent, offset in missing)
        if 0 <= self.facts.free < total + room:
            raise faults.full(self.remote, self.facts.folder, total + room, self.facts.free)
        if not missing:
            return
        goes_on = ", going on where it was cut off" if any(offset for _, offset in missing) else ""
        self._log(f"sending {len(missing)} files, {faults.megabytes(total)}, to {self.remote.host}{goes_on}")
        self._connection.doing = "sending files"
        damaged = self._put(missing)
        # What was there of a file may have been of no use; a second time it goes as a whole.
        again = self._put([(distinct[sha], 0) for sha in damaged]) if damaged else []
        if again:
            raise TargetError(
                f"{self.remote.host}: {len(again)} files arrived damaged twice, expected their sha256; check the disk "
                f"and the memory of the board, and that nothing changes the bundle meanwhile"
            )

    def made(self, folder: str) -> dict[str, tuple[str, int]]:
        """Files that a command left in a folder of the run: name -> sha256 and size. The board keeps them, too."""
        self._connection.doing = "listing files"
        self._connection.send("list", folder=folder)
        head, _ = self._connection.receive("list")
        return {name: (row["sha256"], row["size"]) for name, row in head["files"].items()}

    def fetch(self, sha256: str) -> bytes:
        """The content of a file that the board keeps; InputError if it is not what it should be."""
        self._connection.doing = "fetching files"
        self._connection.send("fetch", sha256=sha256)
        parts = []
        while True:
            head, payload = self._connection.receive("chunk", "fetch")
            if head["op"] == "fetch":
                break
            parts.append(payload)
        content = b"".join(parts)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InputError(
                f"{self.remote.host}: a file came back damaged, expected sha256 {sha256[:12]}..; run again"
            )
        return content

    def _missing(self, wanted: Sequence[Sent]) -> list[tuple[Sent, int]]:
        """Files that are not complete on the board, with how much of them is there."""
        self._connection.doing = "comparing files"
        self._connection.send("have", files=[(sent.sha256, sent.size) for sent in wanted])
        head, _ = self._connection.receive("have")
        pairs = zip(wanted, head["bytes"], strict=True)
        return [(sent, max(have, 0)) for sent, have in pairs if have < sent.size]

    def _put(self, missing: Sequence[tuple[Sent, int]]) -> list[str]:
        """Send files from an offset on; those that arrived damaged."""
        for sent, offset in missing:
            at = offset
            for chunk in sent.chunks(offset, CHUNK):
                self._connection.send("put", chunk, sha256=sent.sha256, size_of_file=sent.size, offset=at)
                at += len(chunk)
        answers = [self._connection.receive("put")[0] for _ in missing]
        return [head["sha256"] for head in answers if not head["ok"]]
