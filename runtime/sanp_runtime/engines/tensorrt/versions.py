"""Which TensorRT and which GPU an engine belongs to: engines of another version or another GPU do not load."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from sanp_runtime.contract import DEVICE_ARCHIVE
from sanp_runtime.engines.tensorrt.cuda import Cuda
from sanp_targets.errors import TargetError

TRTEXEC_PLACES = ("/usr/src/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec")
# What must be equal between the machine that built an engine and the one that runs it.
_IDENTITY = ("tensorrt", "gpu", "sm")


def gpu() -> Dict[str, Any]:
    """The GPU and its CUDA versions; TargetError without one."""
    cuda = Cuda()
    try:
        return cuda.describe()
    finally:
        cuda.close()


def find_trtexec() -> Optional[Path]:
    """trtexec in the path, under TENSORRT_ROOT or where Jetson and Debian packages put it; None without one."""
    root = os.environ.get("TENSORRT_ROOT")
    places = [shutil.which("trtexec"), f"{root}/bin/trtexec" if root else None, *TRTEXEC_PLACES]
    return next((Path(place) for place in places if place and os.access(place, os.X_OK)), None)


def trtexec_version(trtexec: Path) -> str:
    """Version of trtexec from its banner, "8.5.2": `[TensorRT v8502]` before 10, `[TensorRT v100300]` since."""
    done = subprocess.run(
        [str(trtexec), "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return version_of_banner(done.stdout)


def version_of_banner(text: str) -> str:
    """Version in trtexec's banner; TargetError if there is none."""
    match = re.search(r"\[TensorRT v(\d+)\]", text)
    if match is None:
        raise TargetError("trtexec printed no banner with a version, expected TensorRT 8.5 to 11; install it again")
    number = int(match.group(1))
    major, minor, patch = (number // 10000, number // 100 % 100, number % 100)
    if number < 10000:  # one digit each for major and minor before 10
        major, minor, patch = (number // 1000, number // 100 % 10, number % 100)
    return f"{major}.{minor}.{patch}"


def check_same(built: Mapping[str, Any], here: Mapping[str, Any], bundle: Path) -> None:
    """Raise TargetError if engines built with the versions `built` cannot run with the versions `here`."""
    different = [key for key in _IDENTITY if _comparable(built.get(key)) != _comparable(here.get(key))]
    if different:
        rows: List[str] = [f"{key} {built.get(key)} there and {here.get(key)} here" for key in different]
        raise TargetError(
            f"{bundle}: its engines were built on another machine ({', '.join(rows)}), and TensorRT's engines are not "
            f"portable; build them here: {build_command(bundle)}"
        )


def build_command(bundle: Path) -> str:
    """The one command that turns a copied bundle into one with engines."""
    return f"python3 {bundle}/{DEVICE_ARCHIVE} build {bundle}"


def _comparable(value: Any) -> str:
    """Versions up to the patch: the Python package says 10.3.0.30 or 10.3.0, trtexec 10.3.0."""
    return ".".join(str(value).split(".")[:3])
