"""Is a file a whole shared object for this process? Asked before loading: a damaged one kills the process."""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from sanp_runtime.engines.glibc import check_glibc
from sanp_targets.errors import TargetError

_MAGIC = b"\x7fELF"
_SHARED_OBJECT = 3  # e_type
_MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
_LOAD, _DYNAMIC_SEGMENT = 1, 2  # p_type
# sh_type of the tables that the loader walks; a section without bytes in the file has another type.
_STRINGS, _RELOCATIONS, _NO_BITS, _REL, _SYMBOLS, _GNU_HASH = 3, 4, 8, 9, 11, 0x6FFFFFF6
_EXECUTABLE = 4  # sh_flags
_BLOCK = 1024  # neither code nor a table of the loader has so many zeroes in a row; a lost block of a disk has
_SELF = Path("/proc/self/exe")
# Layouts of the 32 and the 64 bit form: rest of the header, a segment, a section, an entry of the dynamic table.
_FORMS = {1: ("HHIIIIIHHHHHH", "IIIIIIII", "IIIIIIIIII", "iI"), 2: ("HHIQQQIHHHHHH", "IIQQQQQQ", "IIQQQQIIQQ", "qQ")}


class _Damaged(Exception):
    """What is wrong with the file."""


@dataclass(frozen=True)
class _Section:
    kind: int
    flags: int
    start: int
    size: int


def open_shared_object(path: Path, mode: int = ctypes.DEFAULT_MODE) -> ctypes.CDLL:
    """Load a checked shared object. Raises TargetError as `check_shared_object`, OSError if the loader refuses it."""
    check_shared_object(path)
    return ctypes.CDLL(str(path), mode=mode)


def check_shared_object(path: Path) -> None:
    """Raise TargetError, saying what is wrong, unless the file is complete and made for the processor of this process.

    Checks the header, the bounds of all segments and sections, that code and the tables of the loader are not blank,
    that the file may be executed where it lies, and that this glibc is new enough. A file whose checksum is right can
    fail: the checksum was then taken of a damaged file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TargetError(f"{path}: cannot be read ({error.strerror or error}); copy the file again") from error
    _check_place(path)
    try:
        _check(content)
    except _Damaged as error:
        raise TargetError(
            f"{path}: cannot be loaded on this machine ({error}), expected a complete shared object for this "
            "processor; compile the bundle again on a machine of this kind, or install the package again"
        ) from error
    check_glibc(path, content)


def machine_of(path: Path) -> Optional[str]:
    """The architecture that a shared object is for, as `uname -m` prints it; None if it is none."""
    try:
        with path.open("rb") as stream:
            content = stream.read(20)
        order, _ = _order_and_class(content)
        kind, machine = struct.unpack_from(order + "HH", content, 16)
    except (OSError, _Damaged, struct.error):
        return None
    return _MACHINES.get(machine) if content[:4] == _MAGIC and kind == _SHARED_OBJECT else None


def _check_place(path: Path) -> None:
    """Raise TargetError for a file system from which nothing may be executed, whatever the file is."""
    try:
        flags = os.statvfs(path).f_flag
    except OSError:
        return
    if flags & os.ST_NOEXEC:
        raise TargetError(
            f"{path}: lies on a file system that is mounted noexec, expected one from which code may be loaded; copy "
            "the bundle to another folder (or install the package there), or mount this one with exec"
        )


def _check(content: bytes) -> None:
    if content[:4] != _MAGIC:
        raise _Damaged("it is no ELF file" if any(content[:4]) else "it is empty or begins with zeroes")
    order, size_class = _order_and_class(content)
    forms = [order + form for form in _FORMS[size_class]]
    header = _unpack(forms[0], content, 16, "header")
    kind, machine = header[0], header[1]
    own = _own_machine()
    if own is not None and own != (order, size_class, machine):
        raise _Damaged(f"it is for {_name(machine, size_class)}, this process is {_name(own[2], own[1])}")
    if kind != _SHARED_OBJECT:
        raise _Damaged(f"its type is {kind}, and a shared object has {_SHARED_OBJECT}")
    _check_segments(content, forms, header, size_class)
    for section in _sections(content, forms[2], header):
        _check_section(content, section, order)


def _order_and_class(content: bytes) -> Tuple[str, int]:
    size_class, order = (content[4], content[5]) if len(content) > 5 else (0, 0)
    if size_class not in _FORMS or order not in (1, 2):
        raise _Damaged("its ELF header is damaged")
    return "<" if order == 1 else ">", size_class


def _own_machine() -> Optional[Tuple[str, int, int]]:
    """Byte order, class and machine of the program that runs this; None where the system does not show it."""
    try:
        with _SELF.open("rb") as stream:
            content = stream.read(20)
    except OSError:
        return None
    if content[:4] != _MAGIC:
        return None
    order, size_class = _order_and_class(content)
    return order, size_class, struct.unpack_from(order + "HH", content, 16)[1]


def _check_segments(content: bytes, forms: List[str], header: Tuple[int, ...], size_class: int) -> None:
    at, entry, count = header[4], header[8], header[9]
    loaded, dynamic = 0, None
    for i in range(count):
        fields = _unpack(forms[1], content, at + i * entry, "segment table")
        start, size = (fields[1], fields[4]) if size_class == 1 else (fields[2], fields[5])
        _inside(content, start, size, "segment")
        loaded += fields[0] == _LOAD
        if fields[0] == _DYNAMIC_SEGMENT:
            dynamic = (start, size)
    if not loaded or dynamic is None:
        raise _Damaged("it has no segment to load, or none for the loader")
    width = struct.calcsize(forms[3])
    tags = [_unpack(forms[3], content, dynamic[0] + i, "dynamic table")[0] for i in range(0, dynamic[1], width)]
    if 0 not in tags or not {5, 6} <= set(tags[: tags.index(0)]):  # DT_STRTAB and DT_SYMTAB, closed by DT_NULL
        raise _Damaged("its dynamic table is damaged")


def _sections(content: bytes, form: str, header: Tuple[int, ...]) -> Iterator[_Section]:
    """Every section, bounds checked; none for a file that was stripped of them."""
    at, entry, count, names = header[5], header[10], header[11], header[12]
    for i in range(count):
        fields = _unpack(form, content, at + i * entry, "section table")
        if i == names and fields[1] != _STRINGS:
            raise _Damaged("its section table is damaged")
        if fields[1] not in (0, _NO_BITS):
            _inside(content, fields[4], fields[5], "section")
            yield _Section(fields[1], fields[2], fields[4], fields[5])


def _check_section(content: bytes, section: _Section, order: str) -> None:
    walked = section.kind in (_STRINGS, _RELOCATIONS, _REL, _SYMBOLS, _GNU_HASH)
    if not section.size or not (walked or section.flags & _EXECUTABLE):
        return
    data = content[section.start : section.start + section.size]
    if section.kind == _GNU_HASH and not _unpack(order + "I", data, 0, "hash table")[0]:
        raise _Damaged("its hash table is blank")
    blocks = [data[i : i + _BLOCK] for i in range(0, len(data), _BLOCK)]
    full = blocks[:-1] if len(blocks) > 1 else blocks  # the rest of a table may be short and zero
    if section.kind != _GNU_HASH and not all(any(block) for block in full):
        raise _Damaged("parts of its code or of its tables are zeroes")


def _inside(content: bytes, start: int, size: int, what: str) -> None:
    if start + size > len(content):
        raise _Damaged(f"a {what} ends at byte {start + size}, the file has {len(content)}")


def _unpack(form: str, content: bytes, at: int, what: str) -> Tuple[int, ...]:
    if at + struct.calcsize(form) > len(content):
        raise _Damaged(f"its {what} ends at byte {at + struct.calcsize(form)}, the file has {len(content)}")
    return struct.unpack_from(form, content, at)


def _name(machine: int, size_class: int) -> str:
    return f"{_MACHINES.get(machine, f'machine {machine}')} with {32 * size_class} bits"
