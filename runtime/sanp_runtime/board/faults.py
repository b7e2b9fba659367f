"""What can go wrong on a board, as a kind and its facts; the workstation makes a sentence of it."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any, Dict

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Fault(Exception):
    """kind: "busy", "folder", "full", "timeout", "start" or "message"; facts: what the sentence says about it."""

    def __init__(self, kind: str, **facts: Any) -> None:
        super().__init__(kind)
        self.kind, self.facts = kind, facts

    def to_json(self) -> Dict[str, Any]:
        """The message that tells it."""
        return {"op": "fault", "kind": self.kind, **self.facts}


def of_os_error(error: OSError, folder: Path, needed: int = 0) -> Fault:
    """A full disk, or a folder that cannot be used. needed: bytes that were to be written."""
    if error.errno in _FULL:
        return Fault("full", folder=str(folder), needed=needed, free=free_bytes(folder), reason=error.strerror)
    return Fault("folder", folder=str(folder), reason=error.strerror or str(error))


def free_bytes(folder: Path) -> int:
    """Bytes that can be written in a folder, or where it would be; -1 if that is not known."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(str(place)).free
        except OSError:
            continue
    return -1
