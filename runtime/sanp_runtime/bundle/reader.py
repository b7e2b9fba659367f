"""Open a compiled bundle: a directory whose every file is listed, sized and hashed in manifest.json."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Union

from sanp_runtime.bundle.manifest import FileEntry, Manifest
from sanp_runtime.bundle.manifest_reading import loads
from sanp_runtime.bundle.reference import Reference, read_reference
from sanp_runtime.contract import LIBRARY_FILE, MANIFEST_FILE, REFERENCE_FILE
from sanp_targets.errors import InputError, TargetError

PathLike = Union[str, "os.PathLike[str]"]

# A manifest is a few hundred kilobytes at most; a larger file is not one, and is not worth reading.
_MAX_MANIFEST_BYTES = 64 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose manifest is consistent and whose files are the ones that were written."""

    path: Path
    manifest: Manifest

    def variant(self, name: str) -> Path:
        """Path of the ONNX file of a variant; InputError for a name that `manifest.variants` lacks."""
        if name not in self.manifest.variants:
            raise InputError(
                f"there is no variant {name!r} in {self.path}, expected one of {sorted(self.manifest.variants)}"
            )
        return self.path / self.manifest.variants[name]

    def library(self) -> Path:
        """Path of the operator library; TargetError if the bundle was compiled without one."""
        if LIBRARY_FILE not in self.manifest.files:
            raise TargetError(
                f"{self.path} holds no operator library for {self.manifest.target['name']}; "
                "compile it again, or pass library=None to run it slowly in plain ONNX Runtime"
            )
        return self.path / LIBRARY_FILE

    def reference(self) -> Reference:
        """The reference samples; InputError if the bundle has none or they do not fit the manifest."""
        if REFERENCE_FILE not in self.manifest.files:
            raise InputError(
                f"{self.path} holds no {REFERENCE_FILE}, expected reference samples to run; "
                "export the model with --samples above 0 and compile it again"
            )
        return read_reference(self.path / REFERENCE_FILE, self.manifest)

    def digest(self) -> str:
        """sha256 over the hashes of all files: one name for exactly this content."""
        lines = "".join(f"{entry.sha256}  {name}\n" for name, entry in sorted(self.manifest.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def open_bundle(path: PathLike, verify: bool = True) -> Bundle:
    """Read the manifest and check every file: presence, size and, with `verify`, sha256.

    The hashes protect against damage, not against an attacker: a bundle contains native code, so load only bundles from
    a source you trust. Raises InputError for anything missing, extra, truncated, changed or contradictory.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    _check_listing(folder, manifest)
    for name, entry in manifest.files.items():
        _check_file(folder / name, entry, verify)
    return Bundle(folder, manifest)


def read_manifest(folder: Path) -> Manifest:
    """The checked manifest of a bundle directory; InputError if the directory is not one."""
    if not folder.is_dir():
        found = "is not a directory" if folder.exists() else "does not exist"
        raise InputError(f"{folder}: {found}, expected a bundle; make one with `sanp compile MODEL -o BUNDLE`")
    path = folder / MANIFEST_FILE
    try:
        if not path.is_file() or path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise InputError(f"{folder}: has no {MANIFEST_FILE}, expected a bundle; make one with `sanp compile`")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text, so it is damaged; compile the bundle again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected the manifest of a bundle") from error
    try:
        return loads(text)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def hash_file(path: Path) -> FileEntry:
    """Size and sha256 of a file, read in chunks."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(size, digest.hexdigest())


def _check_listing(folder: Path, manifest: Manifest) -> None:
    found, expected = {item.name for item in folder.iterdir()}, set(manifest.files) | {MANIFEST_FILE}
    problems: Dict[str, Optional[str]] = {
        "lacks": ", ".join(sorted(expected - found)),
        "has the extra": ", ".join(sorted(found - expected)),
    }
    for verb, names in problems.items():
        if names:
            raise InputError(
                f"{folder}: {verb} file(s) {names:.300}, expected exactly the files of its manifest; "
                "copy the bundle again as a whole"
            )


def _check_file(path: Path, entry: FileEntry, verify: bool) -> None:
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError(
                f"{path}: is not a regular file, expected a file of {entry.size} bytes; copy the bundle again"
            )
        actual = hash_file(path) if verify and state.st_size == entry.size else FileEntry(state.st_size, entry.sha256)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected a file of {entry.size} bytes") from error
    if actual.size != entry.size:
        raise InputError(f"{path}: has {actual.size} bytes, expected {entry.size}; copy the bundle again")
    if actual.sha256 != entry.sha256:
        raise InputError(
            f"{path}: its content has sha256 {actual.sha256[:12]}..., expected {entry.sha256[:12]}...; "
            "the file was damaged or edited: copy the bundle again"
        )
