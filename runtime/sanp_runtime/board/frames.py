"""Messages between a workstation and a board: a line of JSON, then as many bytes as it says."""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Dict, Mapping, Optional, Tuple

Message = Tuple[Dict[str, Any], bytes]

VERSION = 1
# Printed before the first message. What stands before it was printed by the login shell of the board, and is passed.
MAGIC = b"sanp-board-server %d\n" % VERSION
CHUNK = 1 << 18  # bytes of a file in one message; small enough that a beat is never far behind

_LONGEST_LINE = 1 << 24
_LONGEST_PAYLOAD = 1 << 31


def write(stream: BinaryIO, head: Mapping[str, Any], payload: bytes = b"") -> None:
    """Write one message and flush it. Raises OSError if the other side has gone."""
    line = json.dumps({**head, "size": len(payload)}, separators=(",", ":"))
    stream.write(line.encode() + b"\n" + payload)
    stream.flush()


def read(stream: BinaryIO) -> Optional[Message]:
    """The next message, None if the stream ended, also in the middle of one. Raises ValueError for anything else."""
    line = stream.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    size = head.pop("size") if isinstance(head, dict) else None
    if not isinstance(size, int) or not 0 <= size <= _LONGEST_PAYLOAD or not isinstance(head.get("op"), str):
        raise ValueError(f"{line[:80]!r} is not a message")
    payload = stream.read(size)
    return None if len(payload) < size else (head, payload)


def skip_to_magic(stream: BinaryIO) -> Optional[bytes]:
    """Read up to the magic line and return what stood before it; None if the stream ended without one."""
    before = b""
    while len(before) < _LONGEST_LINE:
        line = stream.readline(_LONGEST_LINE)
        if line.endswith(MAGIC):  # what was printed before may have ended without a line break
            return before + line[: -len(MAGIC)]
        if not line:
            return None
        before += line
    return None
