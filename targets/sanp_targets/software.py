"""What is installed below a root: Jetson Linux, TensorRT, CUDA, the driver. Files only, nothing is run or imported."""

from __future__ import annotations

import json
import re
from typing import Dict, Optional, Tuple

from sanp_targets.pseudo_files import Root, paths, read

_L4T = re.compile(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
# Where Debian packages, NVIDIA's archives and containers put the library; its file name ends in its version.
_TENSORRT = (
    "usr/lib/*-linux-gnu/libnvinfer.so.*",
    "usr/lib64/libnvinfer.so.*",
    "usr/local/lib/libnvinfer.so.*",
    "usr/local/tensorrt/lib/libnvinfer.so.*",
    "opt/tensorrt/lib/libnvinfer.so.*",
)
_TRTEXEC = ("usr/src/tensorrt/bin/trtexec", "usr/bin/trtexec", "usr/local/bin/trtexec", "opt/tensorrt/bin/trtexec")


def l4t_release(root: Root = "/") -> Optional[str]:
    """Release of Jetson Linux as "36.4.3", from /etc/nv_tegra_release; None where there is none."""
    found = _L4T.search(read(root, "etc/nv_tegra_release") or "")
    return f"{found.group(1)}.{found.group(2)}" if found else None


def tensorrt_version(root: Root = "/") -> Optional[str]:
    """Version of the newest libnvinfer in the usual folders; None if there is none."""
    names = [path.rsplit("/", 1)[1].split(".so.", 1)[1] for pattern in _TENSORRT for path in paths(root, pattern)]
    return max((name for name in names if _VERSION.fullmatch(name)), key=_parts, default=None)


def trtexec_path(root: Root = "/") -> Optional[str]:
    """Where trtexec is, relative to the root; None if it is in none of the usual folders."""
    return next((path for path in _TRTEXEC if paths(root, path)), None)


def cuda_version(root: Root = "/") -> Optional[str]:
    """Version of the CUDA toolkit in /usr/local/cuda, or the newest of /usr/local/cuda-*; None if there is none."""
    found = []
    for folder in ["usr/local/cuda", *paths(root, "usr/local/cuda-*")]:
        version = _cuda_in(root, folder)
        if version is not None and folder == "usr/local/cuda":
            return version
        found += [version] if version is not None else []
    return max(found, key=_parts, default=None)


def gpus(root: Root = "/") -> Dict[str, Optional[str]]:
    """Bus address -> model of every GPU that NVIDIA's driver has; empty without that driver."""
    found: Dict[str, Optional[str]] = {}
    for path in paths(root, "proc/driver/nvidia/gpus/*/information"):
        model = re.search(r"(?m)^Model:\s*(.+?)\s*$", read(root, path) or "")
        found[path.split("/")[-2]] = model.group(1) if model else None
    return found


def _cuda_in(root: Root, folder: str) -> Optional[str]:
    text = read(root, f"{folder}/version.json")
    try:
        row = json.loads(text) if text is not None else {}
        version = row["cuda"]["version"]
        return version if isinstance(version, str) else None
    except (ValueError, KeyError, TypeError):
        old = re.search(r"CUDA Version ([\d.]+)", read(root, f"{folder}/version.txt") or "")
        return old.group(1) if old else None


def _parts(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
