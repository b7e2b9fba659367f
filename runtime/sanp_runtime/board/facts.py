"""What a board is, as far as it decides whether a bundle can run there."""

from __future__ import annotations

import importlib.util
import os
import platform
from pathlib import Path
from typing import Any, Dict

from sanp_runtime.board.faults import free_bytes

PACKAGES = ("numpy", "onnxruntime", "tensorrt")


def facts(folder: Path) -> Dict[str, Any]:
    """The machine as `uname -m` prints it, system, name, Python, cores, packages that are there, folder, free bytes."""
    return {
        "machine": os.uname().machine,
        "system": os.uname().sysname,
        "name": os.uname().nodename,
        "python": platform.python_version(),
        "cores": os.cpu_count() or 1,
        "packages": [name for name in PACKAGES if _is_there(name)],
        "folder": str(folder),
        "free": free_bytes(folder),
    }


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
