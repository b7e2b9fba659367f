"""Python packages that a machine without internet lacks: wheels that were carried to it, installed into a folder.

Large wheels may come in pieces, `NAME.whl.000`, `NAME.whl.001` and so on, in several folders; they are joined here.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

# Import names that the stages need beyond PyTorch and NumPy, and the package that brings each.
NEEDED = {
    "pydantic": "pydantic", "pydantic_core": "pydantic-core", "annotated_types": "annotated-types",
    "typing_inspection": "typing-inspection", "rich": "rich", "safetensors": "safetensors", "pytest": "pytest",
    "onnx": "onnx", "onnxruntime": "onnxruntime",
}  # fmt: skip
PIECE = re.compile(r"(?P<name>.+\.whl)\.(?P<number>\d+)")


def missing() -> list[str]:
    """Packages that this Python lacks."""
    return [package for name, package in NEEDED.items() if importlib.util.find_spec(name) is None]


def join_pieces(folders: Iterable[Path], target: Path) -> list[Path]:
    """Write each wheel whose pieces lie in these folders, from 0 without a gap, and return their paths."""
    pieces: dict[str, dict[int, Path]] = {}
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            found = PIECE.fullmatch(path.name)
            if found:
                pieces.setdefault(found["name"], {})[int(found["number"])] = path
    joined = []
    for name, parts in sorted(pieces.items()):
        absent = sorted(set(range(max(parts) + 1)) - parts.keys())
        if absent:
            raise FileNotFoundError(f"{name}: piece {absent[0]} of {max(parts) + 1} is missing; carry it as well")
        target.mkdir(parents=True, exist_ok=True)
        with (target / name).open("wb") as stream:
            for number in sorted(parts):
                stream.write(parts[number].read_bytes())
        joined.append(target / name)
    return joined


def install(wheels: Iterable[Path], target: Path) -> str:
    """Install wheels as they are into `target`; the packages' names, or RuntimeError with pip's last words."""
    paths = sorted(wheels)
    if not paths:
        return ""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    command += ["--disable-pip-version-check", "--upgrade", "--target", str(target), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"pip could not install {', '.join(p.name for p in paths)}: {done.stderr[-500:]}")
    return ", ".join(path.name.split("-")[0] for path in paths)


def environment(*first: Path) -> dict[str, str]:
    """The environment of a child process that finds packages in these folders before all others."""
    earlier = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, first), *([earlier] if earlier else [])])}
