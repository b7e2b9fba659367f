"""What a bundle carries so that a device needs only TensorRT and numpy: our runtime and the sources of the plugin."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import sanp_runtime
import sanp_targets
from sanp_targets.errors import TargetError

_MAIN = '''"""Run, build, test and measure the bundle that this archive lies in."""

import sys

from sanp_runtime.cli import (main)

sys.exit(main())
'''
_SOURCE_FOLDERS = ("contract", "cuda", "trt")
_SOURCE_SUFFIXES = (".cc", ".cu", ".h", ".inc", ".cmake", ".txt", ".map")
# Archives of equal content are equal bytes, so that a bundle's digest names its content.
_DATE = (1980, 1, 1, 0, 0, 0)


def device_archive() -> bytes:
    """A zip application of sanp_runtime and sanp_targets: `python3 device.pyz build BUNDLE`; needs numpy only."""
    buffer = io.BytesIO(b"#!/usr/bin/env python3\n")
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", _MAIN.encode())
        for package in (sanp_targets, sanp_runtime):
            folder = Path(str(package.__file__)).parent
            for path in sorted(folder.rglob("*.py")):
                _add(archive, path.relative_to(folder.parent).as_posix(), path.read_bytes())
    return buffer.getvalue()


def plugin_sources() -> bytes:
    """The C++ and CUDA sources of the plugin as tar.gz; TargetError if this installation lacks them."""
    root = _source_root()
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in _source_files(root):
            content = path.read_bytes()
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _source_root() -> Path:
    """Where the sources are: inside the installed package, or beside it in the source tree."""
    package = Path(str(sanp_runtime.__file__)).parent
    for root in (package / "_native_src", package.parent / "native"):
        if (root / "trt" / "CMakeLists.txt").is_file():
            return root
    raise TargetError(
        f"{package}: has no plugin sources (_native_src), expected them in the installed package; reinstall "
        "sanp-toolchain"
    )


def _source_files(root: Path) -> list[Path]:
    folders = [root / name for name in _SOURCE_FOLDERS]
    return sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in _SOURCE_SUFFIXES)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
