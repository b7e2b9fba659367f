"""Which glibc a shared object asks for, and which one is here: said before the loader says it in symbols."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Iterator, Optional, Tuple

from sanp_targets.errors import TargetError

_VERSIONS_NEEDED = 0x6FFFFFFE  # sh_type of .gnu.version_r
_NAME = re.compile(r"GLIBC_(\d+(?:\.\d+)+)")


def glibc_floor(path: Path) -> Optional[str]:
    """The oldest glibc that loads a file, as "2.28"; None if it asks for no version, or is no ELF file of 64 bits."""
    found = [_numbers(match.group(1)) for match in map(_NAME.fullmatch, needed_versions(path.read_bytes())) if match]
    return ".".join(map(str, max(found))) if found else None


def needed_versions(content: bytes) -> Tuple[str, ...]:
    """Names of the symbol versions that a shared object takes from others, such as "GLIBC_2.17" and "GCC_3.0"."""
    try:
        return tuple(_needed(content))
    except (struct.error, IndexError, ValueError, OverflowError):  # damaged; `check_shared_object` says how
        return ()


def check_glibc(path: Path, content: bytes) -> None:
    """Raise TargetError if the file asks for a newer glibc than this process has."""
    here = installed_glibc()
    if here is None:
        return
    wanted = [match.group(1) for match in map(_NAME.fullmatch, needed_versions(content)) if match]
    newest = max(wanted, key=_numbers, default=None)
    if newest is not None and _numbers(newest) > _numbers(here):
        raise TargetError(
            f"{path}: cannot be loaded on this machine (it asks for glibc {newest}, here is {here}), expected a "
            "library that was built on a system as old as this one; install the package here with `pip install .` "
            "and compile the bundle again, or use a newer system"
        )


def installed_glibc() -> Optional[str]:
    """Version of the C library of this process, as "2.36"; None for one that is not glibc."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError, AttributeError):
        return None
    return version if name == "glibc" and re.fullmatch(r"\d+(\.\d+)+", version) else None


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _needed(content: bytes) -> Iterator[str]:
    if content[:5] != b"\x7fELF\x02":
        return
    order = "<" if content[5] == 1 else ">"
    at, entry, count = _sections(content, order)
    rows = [struct.unpack_from(order + "IIQQQQIIQQ", content, at + i * entry) for i in range(count)]
    for row in rows:
        if row[1] != _VERSIONS_NEEDED:
            continue
        names, start = rows[row[6]][4], row[4]  # sh_link is the table of strings
        for _ in range(row[7]):  # one entry per library, each with a list of versions
            _, versions, _, first, following = struct.unpack_from(order + "HHIII", content, start)
            place = start + first
            for _ in range(versions):
                _, _, _, name, step = struct.unpack_from(order + "IHHII", content, place)
                end = content.index(b"\0", names + name)
                yield content[names + name : end].decode("ascii")
                place += step
            start += following


def _sections(content: bytes, order: str) -> Tuple[int, int, int]:
    """Where the section table is, the size of a row, and how many there are."""
    at = struct.unpack_from(order + "Q", content, 40)[0]
    entry, count = struct.unpack_from(order + "HH", content, 58)
    return at, entry, count
