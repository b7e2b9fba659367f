"""Files on a board by the sha256 of their content: what is here once is not sent again, what is cut off goes on.

FOLDER/objects/SHA256           a complete file
FOLDER/objects/SHA256.part      the beginning of one
FOLDER/run-MACHINE-PID/         what one run sees: copies of objects under their names, and its temporary files
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from pathlib import Path, PurePosixPath
from typing import Dict, Iterator, Mapping

from sanp_runtime.board.faults import Fault, of_os_error
from sanp_runtime.board.frames import CHUNK

CODE, TEMPORARY = "code", "tmp"  # folders of a run: our packages, and what a command leaves anywhere
KEEP_DAYS = 14  # what no run has used for so long is removed

_SHA = re.compile(r"[0-9a-f]{64}")
_READ = 1 << 20


class Store:
    """The folder of a board. Raises Fault "folder" where it cannot be used, "full" where the disk is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._objects = folder / "objects"
        prefix = f"run-{os.uname().nodename}-"  # a home on the network serves several boards
        self.run = folder / f"{prefix}{os.getpid()}"
        with self._faults():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._objects.mkdir(exist_ok=True)
            self._objects.chmod(0o700)  # the folder may be one that others read, such as /tmp
            for left in folder.glob(prefix + "*"):  # of runs that were killed; whoever is here has the lock
                shutil.rmtree(str(left), ignore_errors=True)
            self._make_run()
            self._sweep()

    def held(self, sha: str, size: int) -> int:
        """Bytes of a file that need not be sent: all of a complete one, whose content is checked here and now.

        -1 for an empty file that is not here.
        """
        path, part = self._path(sha), self._part(sha)
        with self._faults():
            if path.is_file():
                if hash_of(path) == sha:
                    os.utime(str(path))
                    return size
                path.unlink()
            have = part.stat().st_size if part.is_file() else 0
            if have < size:
                return have
            if part.is_file():  # as long as the whole, and its end was not reached
                part.unlink()
            return 0 if size else -1

    def put(self, sha: str, size: int, offset: int, chunk: bytes) -> bool:
        """Add bytes at an offset; False if the file is complete now and is not what it should be, so it is dropped.

        A disk that is full loses this file alone, so that there is room for something else.
        """
        part, end = self._part(sha), offset + len(chunk)
        try:
            with part.open("r+b" if offset else "wb") as stream:
                stream.seek(offset)
                stream.write(chunk)
                stream.truncate(end)
            if end < size:
                return True
            if hash_of(part) != sha:
                part.unlink()
                return False
            part.replace(self._path(sha))
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise of_os_error(error, self.folder, size - offset) from error
        return True

    def lay_out(self, files: Mapping[str, str]) -> None:
        """Give the run copies of these files and no others, path in it -> sha256.

        No links: a command may write to its files, and readers of ONNX refuse weights with a second name as an attack.
        """
        with self._faults():
            shutil.rmtree(str(self.run))
            self._make_run()
        for path, sha in files.items():
            place = PurePosixPath(path)
            if place.is_absolute() or ".." in place.parts:
                raise Fault("message", text=f"{path!r} is no path inside a folder")
            source, target = self._path(sha), self.run / place
            with self._faults(source.stat().st_size):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(source), str(target))

    def adopt(self, path: Path) -> Dict[str, object]:
        """Keep a file that a run has made, so that it is not sent when it comes back; its hash and size."""
        with self._faults():
            sha = hash_of(path)
            if not self._path(sha).exists():
                part = self._part(sha)
                with contextlib.suppress(FileNotFoundError):
                    part.unlink()
                shutil.copyfile(str(path), str(part))
                part.replace(self._path(sha))
            return {"sha256": sha, "size": path.stat().st_size}

    def read(self, sha: str) -> Iterator[bytes]:
        """The content of a complete file, in pieces."""
        with self._faults(), self._path(sha).open("rb") as stream:
            yield from iter(lambda: stream.read(CHUNK), b"")

    def end_run(self) -> None:
        """Remove what one run saw."""
        shutil.rmtree(str(self.run), ignore_errors=True)

    def clear(self) -> None:
        """Remove everything that was sent, and the folder if nothing else is in it."""
        self.end_run()
        shutil.rmtree(str(self._objects), ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _make_run(self) -> None:
        self.run.mkdir(mode=0o700)
        (self.run / TEMPORARY).mkdir()

    def _sweep(self) -> None:
        oldest = time.time() - KEEP_DAYS * 86_400
        for path in self._objects.iterdir():
            if path.stat().st_mtime < oldest:
                path.unlink()

    def _path(self, sha: str) -> Path:
        if not _SHA.fullmatch(sha):
            raise Fault("message", text=f"{sha!r} is no sha256")
        return self._objects / sha

    def _part(self, sha: str) -> Path:
        path = self._path(sha)
        return path.with_name(path.name + ".part")

    @contextlib.contextmanager
    def _faults(self, needed: int = 0) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise of_os_error(error, self.folder, needed) from error


def hash_of(path: Path) -> str:
    """sha256 of the content of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(_READ), b""):
            digest.update(chunk)
    return digest.hexdigest()
