"""Proof that a session runs the machine code of its own library when two builds are loaded in one process.

Both builds export the same symbols, so a loader could give one session the other's functions. Linux marks every page
that a process touches: the marks are cleared, the session runs, and then pages of code must be marked in its own
library and in no other.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.timing import Run

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \S+\s*(.*)$")
_ATTEMPTS = (
    3  # a page that the kernel moves or scans meanwhile looks touched; code that is called is touched every time
)
_CLEAR, _PAGES = Path("/proc/self/clear_refs"), Path("/proc/self/smaps")


def touched_code(libraries: Mapping[str, Path], run: Run) -> dict[str, int]:
    """KiB of the machine code of every library that one call of `run` touches, by the names of `libraries`.

    SystemExit where the system does not mark pages, and for a library that is not loaded.
    """
    gc.collect()  # a session that is collected meanwhile runs its own library's destructors
    try:
        _CLEAR.write_text("1")
    except OSError as error:
        raise SystemExit(
            f"{_CLEAR}: cannot be written ({error}), so it is not known whose code a session runs; use Linux"
        ) from error
    gc.disable()
    try:
        run()
    finally:
        gc.enable()
    touched: dict[Path, int] = {}
    here: Path | None = None
    for line in _PAGES.read_text().splitlines():
        if found := _MAPPING.match(line):
            here = Path(found[2]) if "x" in found[1] else None
        elif here is not None and line.startswith("Referenced:"):
            touched[here] = touched.get(here, 0) + int(line.split()[1])
    if absent := [str(path) for path in libraries.values() if path.resolve() not in touched]:
        raise SystemExit(f"{', '.join(absent)}: not loaded by this process, expected the libraries of its sessions")
    return {name: touched[path.resolve()] for name, path in libraries.items()}


def require_own_code(run: Run, libraries: Mapping[str, Path], own: str) -> None:
    """SystemExit unless a call of `run` touches code of the library named `own` and of no other one."""
    run()  # loading and first plans are over
    for _ in range(_ATTEMPTS):
        touched = touched_code(libraries, run)
        if touched[own] and not any(size for name, size in touched.items() if name != own):
            return
    raise SystemExit(
        f"a session of library {own} touched {touched} KiB of code, expected some of {own} and none of the others; "
        "their symbols clash, so compare them in processes of their own"
    )
