"""What goes to a board: files with their sha256, of a bundle, of our packages, or made in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sanp_runtime
import sanp_targets
from sanp_runtime.board.store import CODE
from sanp_runtime.bundle.reader import Bundle, hash_file
from sanp_runtime.contract import MANIFEST_FILE
from sanp_targets.errors import InputError

_LEFT_OUT = (".pyc", ".md", ".so")


@dataclass(frozen=True)
class Sent:
    """One file. source: where it is here, or its content."""

    sha256: str
    size: int
    source: Path | bytes

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        """The content from an offset on, in pieces of a length; one empty piece of an empty file.

        Raises InputError for a file that is no longer what it was.
        """
        if isinstance(self.source, bytes):
            for start in range(offset, max(self.size, 1), length):
                yield self.source[start : start + length]
            return
        with self.source.open("rb") as stream:
            stream.seek(offset)
            for start in range(offset, max(self.size, 1), length):
                chunk = stream.read(min(length, self.size - start))
                if len(chunk) != min(length, self.size - start):
                    raise InputError(f"{self.source}: was changed while it was sent, expected {self.size} bytes; again")
                yield chunk


def of_path(path: Path) -> Sent:
    """A file as it is now."""
    entry = hash_file(path)
    return Sent(entry.sha256, entry.size, path)


def of_bytes(content: bytes) -> Sent:
    """A file that exists in memory."""
    return Sent(hashlib.sha256(content).hexdigest(), len(content), content)


def of_bundle(bundle: Bundle, name: str) -> dict[str, Sent]:
    """Path in the run -> file, for all of a bundle below a folder `name`."""
    files = {file: Sent(entry.sha256, entry.size, bundle.path / file) for file, entry in bundle.manifest.files.items()}
    files[MANIFEST_FILE] = of_path(bundle.path / MANIFEST_FILE)
    return {f"{name}/{file}": sent for file, sent in files.items()}


def of_code() -> dict[str, Sent]:
    """Path in the run -> file, for sanp_runtime and sanp_targets without anything native."""
    found = {}
    for package in (sanp_targets, sanp_runtime):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder.parent)
            native = any(part.startswith(("_native", "__pycache__")) for part in inside.parts)
            if path.is_file() and not native and path.suffix not in _LEFT_OUT:
                found[f"{CODE}/{inside.as_posix()}"] = of_path(path)
    return found
