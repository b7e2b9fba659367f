"""Read /proc and /sys under a root, so that tests can use a fake tree. What cannot be read is None, never zero."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Union

Root = Union[str, Path]


def read(root: Root, path: str) -> Optional[str]:
    """Stripped text of a file; None if it is missing, unreadable or empty. Device-tree strings lose their final NUL."""
    try:
        data = (Path(root) / path).read_bytes()
    except OSError:  # a sensor that is switched off answers EAGAIN, EINVAL or EIO
        return None
    return data.decode("utf-8", "replace").replace("\x00", " ").strip() or None


def read_int(root: Root, path: str, base: int = 10) -> Optional[int]:
    """Integer in a file; None if there is none."""
    text = read(root, path)
    try:
        return int(text, base) if text is not None else None
    except ValueError:
        return None


def paths(root: Root, pattern: str) -> List[str]:
    """Paths below root that match a pattern, relative to it, in numerical order (policy2 before policy10)."""
    found = [str(item.relative_to(root)) for item in Path(root).glob(pattern)]
    return sorted(found, key=_natural)


def _natural(text: str) -> List[Union[int, str]]:
    parts: List[Union[int, str]] = [""]
    for char in text:
        if char.isdigit():
            if isinstance(parts[-1], int):
                parts[-1] = parts[-1] * 10 + int(char)
            else:
                parts.append(int(char))
        elif isinstance(parts[-1], str):
            parts[-1] += char
        else:
            parts.append(char)
    return parts
