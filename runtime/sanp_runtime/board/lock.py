"""One run at a time on a board: two would measure each other."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import struct
import time
from typing import Any, Dict, Optional

from sanp_runtime.board.faults import Fault

# A name of the machine and not a file: it works for all users, and is free the moment that its holder is gone.
_NAME = "\0sanp-board-run"
# In the environment of the board: a name for the lock of a machine that serves as several boards.
VARIABLE = "SANP_BOARD_LOCK"
_POLL_S = 0.25


def take(wait_s: float) -> socket.socket:
    """Hold the lock until the socket is closed or the process ends.

    wait_s: how long to wait for another holder, such as one whose connection was just lost. Raises Fault "busy" with
    the process and the user that have it.
    """
    end = time.monotonic() + wait_s
    while True:
        own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            own.bind(_name())
            own.listen(1)
        except OSError as error:
            own.close()
            if error.errno != errno.EADDRINUSE:
                raise
            if time.monotonic() >= end:
                raise Fault("busy", **holder()) from error
            time.sleep(_POLL_S)
        else:
            return own


def holder() -> Dict[str, Any]:
    """pid and user of who has the lock, None for what is not known."""
    pid: Optional[int] = None
    user: Optional[str] = None
    with contextlib.suppress(OSError, KeyError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.settimeout(1.0)
        other.connect(_name())
        found = other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", found)
        user = str(uid)
        user = pwd.getpwuid(uid).pw_name
    return {"pid": pid, "user": user}


def _name() -> str:
    return "-".join(filter(None, (_NAME, os.environ.get(VARIABLE))))[:100]  # an address of this kind has 108 bytes
