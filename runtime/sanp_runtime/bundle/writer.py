"""Write a bundle: everything goes to a temporary sibling directory that takes the final name when it is complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Callable, Dict, Optional, Type

from sanp_runtime.bundle.files import Content
from sanp_runtime.bundle.manifest import FileEntry, Manifest
from sanp_runtime.bundle.manifest_reading import listed_files, loads
from sanp_runtime.bundle.reader import Bundle, PathLike, hash_file
from sanp_runtime.bundle.reference import Reference, from_arrays
from sanp_runtime.contract import MANIFEST_FILE, REFERENCE_FILE
from sanp_targets.errors import ConfigError, InputError


class BundleWriter:
    """Context manager that leaves either a complete bundle at `path` or what was there before.

        with BundleWriter("net.sanp") as writer:
            writer.add_bytes("gated.onnx", content)
            writer.add_file("libsanp_ops.so", library)
            bundle = writer.finish(manifest)

    Without `finish`, or after any exception (KeyboardInterrupt included), nothing is left behind. An existing bundle is
    replaced only with `replace=True`, and only if the directory holds nothing but that bundle. Raises ConfigError if
    the place cannot be used.
    """

    def __init__(self, path: PathLike, replace: bool = False) -> None:
        self.path = Path(path)
        self._replace = replace
        self._files: Dict[str, FileEntry] = {}
        self._folder: Optional[Path] = None
        self._reference: Optional[Reference] = None

    def __enter__(self) -> "BundleWriter":
        _check_place(self.path, self._replace)
        try:
            self._folder = Path(tempfile.mkdtemp(dir=str(self.path.parent), prefix=f".{self.path.name}."))
        except OSError as error:
            raise _not_writable(self.path, error) from error
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(str(self._folder), ignore_errors=True)
            self._folder = None

    def add_bytes(self, name: str, content: Content) -> None:
        """Add a file with this content, or what is called to write it into a stream."""
        target = self._new(name)
        try:
            with target.open("wb") as stream:
                if isinstance(content, bytes):
                    stream.write(content)
                else:
                    content(stream)
        except OSError as error:
            raise _not_writable(self.path, error) from error
        self._files[name] = hash_file(target)

    def add_file(self, name: str, source: PathLike) -> None:
        """Add a copy of a file; InputError if it cannot be read."""
        if not Path(source).is_file():
            raise InputError(f"{source}: is not a file, expected the content of {name}; build or export it first")
        target = self._new(name)
        try:
            shutil.copyfile(str(source), str(target))
        except OSError as error:
            raise _not_writable(self.path, error) from error
        self._files[name] = hash_file(target)

    def add_reference(self, reference: Reference) -> None:
        """Add reference.npz; `finish` checks that it fits the manifest."""
        self._reference = reference
        self.add_bytes(REFERENCE_FILE, reference.dumps())

    def finish(self, manifest: Manifest, check: Optional[Callable[[Bundle], object]] = None) -> Bundle:
        """Write the manifest (its `files` are filled in here), run `check`, and move everything into place.

        check gets the complete bundle under its temporary name; whatever it raises leaves the place as it was.
        Raises InputError if the manifest does not describe the files.
        """
        if self._folder is None:
            raise ConfigError("the bundle writer is not active, so nothing can be finished; use it in a `with` block")
        manifest = loads(manifest.with_files(self._files).dumps())
        if self._reference is not None:
            from_arrays(self._reference.arrays(), manifest)
        try:
            (self._folder / MANIFEST_FILE).write_text(manifest.dumps(), encoding="utf-8")
            for item in self._folder.iterdir():
                _flush(item)
            self._folder.chmod(0o755)
            if check is not None:
                check(Bundle(self._folder, manifest))
            _move(self._folder, self.path, self._replace)
        except OSError as error:
            raise _not_writable(self.path, error) from error
        self._folder = None
        return Bundle(self.path, manifest)

    def _new(self, name: str) -> Path:
        if self._folder is None:
            raise ConfigError(f"the bundle writer is not active, so {name} cannot be added; use it in a `with` block")
        if name == MANIFEST_FILE or Path(name).name != name or name in self._files:
            raise ConfigError(f"file name {name!r} is reserved, taken or has a folder, expected a new plain file name")
        return self._folder / name


def _check_place(path: Path, replace: bool) -> None:
    if path.name in ("", "..") or path.is_symlink():
        raise ConfigError(
            f"{path}: cannot be replaced by a bundle, expected the path of a new directory; choose another"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: is not a directory, expected the folder of the bundle; create it first")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not _is_only_a_bundle(path):
        raise ConfigError(f"{path}: exists and is not just a bundle, so it will not be replaced; choose another path")
    if not replace:
        raise ConfigError(f"{path}: exists already; choose another path or allow it to be replaced (--replace)")


def _is_only_a_bundle(path: Path) -> bool:
    """True if every entry is a file of the manifest; the content may be damaged, it is about to go."""
    try:
        text = (path / MANIFEST_FILE).read_text(encoding="utf-8")
        expected = listed_files(text)
        return all(item.name in expected and item.is_file() for item in path.iterdir())
    except (OSError, ValueError, InputError):
        return False


def _move(source: Path, target: Path, replace: bool) -> None:
    """Rename into place; the old bundle is moved aside first and comes back if that fails."""
    _check_place(target, replace)
    if not target.exists():
        source.rename(target)
        return
    aside = Path(tempfile.mkdtemp(dir=str(target.parent), prefix=f".{target.name}.old.")) / target.name
    try:
        target.rename(aside)
        source.rename(target)
    except BaseException:
        if aside.exists() and not target.exists():
            aside.rename(target)
        aside.parent.rmdir()  # fails, and so keeps the old bundle, if that could not be moved back
        raise
    shutil.rmtree(str(aside.parent), ignore_errors=True)


def _flush(path: Path) -> None:
    """Force the content to disk before the rename, or a power cut could leave a complete name on empty files."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _not_writable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path}: cannot be written ({error.strerror or error}); choose a writable folder with free space"
    )
