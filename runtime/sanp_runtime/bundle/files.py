"""Write a file completely or not at all, and never into a bundle."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
import time
from pathlib import Path
from typing import BinaryIO, Callable, Iterator, Mapping, Tuple, Union

from sanp_runtime.contract import MANIFEST_FILE
from sanp_targets.errors import ConfigError

# Every manifest of ours has it; a manifest.json without it belongs to something else.
_MARK = b'"manifest_sha256"'
_LEFT_SECONDS = 60.0

# The bytes of a file, or what writes them where they are too many for the memory.
Content = Union[bytes, Callable[[BinaryIO], None]]


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file in the same folder, flush it to disk, rename it: readers see the old file or the new.

    Missing folders are created; what a killed process left of the same file is removed. Raises ConfigError if the place
    cannot be written or lies in a bundle; nothing is left behind then.
    """
    write_together({Path(path): content})


def write_together(contents: Mapping[Path, Content]) -> None:
    """`write_atomically` for files that belong together: the first is renamed when the last is on the disk.

    So a full disk leaves all old files. Only a kill between two renames can mix old and new ones: whoever reads them
    must be able to tell, by a checksum of one file in another.
    """
    with contextlib.ExitStack() as stack:
        staged = [(stack.enter_context(_staged(Path(path), content)), Path(path)) for path, content in contents.items()]
        for temporary, path in staged:
            try:
                temporary.replace(path)
            except OSError as error:
                raise _cannot_write(path, error) from error


@contextlib.contextmanager
def _staged(path: Path, content: Content) -> Iterator[Path]:
    """A complete temporary file beside `path`, removed at the end unless it was renamed."""
    check_outside_bundles(path)
    temporary = None
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = temporary_beside(path)
            with os.fdopen(handle, "wb") as stream:
                if isinstance(content, bytes):
                    stream.write(content)
                else:
                    content(stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
        except OSError as error:
            raise _cannot_write(path, error) from error
        yield temporary
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()


def temporary_beside(path: Path) -> Tuple[int, Path]:
    """A new temporary file in the folder of `path`: its open handle and its path; OSError if there can be none.

    What killed processes left of such files for the same path is removed.
    """
    _remove_left_behind(path)
    handle, name = tempfile.mkstemp(dir=str(path.parent), prefix=f".{path.name}.{os.getpid()}-")
    return handle, Path(name)


def _remove_left_behind(path: Path) -> None:
    """Remove what killed processes left of `path`: files of a process that is gone, not written for a minute.

    The minute is for folders that several machines share, where a process of another one looks gone.
    """
    for found in path.parent.glob(f".{glob.escape(path.name)}.*-*"):
        number = found.name[len(path.name) + 2 :].partition("-")[0]
        with contextlib.suppress(OSError):
            if number.isdecimal() and time.time() - found.stat().st_mtime > _LEFT_SECONDS and not _runs(int(number)):
                found.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _cannot_write(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path}: cannot be written ({error.strerror or error}); choose a writable folder with free space"
    )


def check_outside_bundles(path: Path) -> None:
    """Raise ConfigError for a file in the folder of a bundle: one that its manifest does not list makes it invalid."""
    for folder in (path.parent.resolve() / path.name).parents:
        try:
            found = _MARK in (folder / MANIFEST_FILE).read_bytes()
        except OSError:
            continue
        if found:
            raise ConfigError(
                f"{path}: lies in the bundle {folder}, expected a place outside: a bundle holds exactly the files "
                "of its manifest; choose another folder"
            )
