"""Builds the C++ tests of the TensorRT plugin, and finds TensorRT's public headers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.native import native_build
from tests.native.native_build import ROOT, run

__all__ = ["ROOT", "run"]

SOURCE = ROOT / "runtime/native/tests/trt"
PLUGIN = ROOT / "runtime/native/trt"

HEADERS_HINT = (
    "set TENSORRT_ROOT to a TensorRT with include/NvInferRuntime.h, or to a folder of such trees named by version "
    "(make test-tensorrt says how)"
)


def header_trees() -> dict[str, Path]:
    """Header trees under TENSORRT_ROOT by name; empty when it is not set."""
    given = os.environ.get("TENSORRT_ROOT")
    if not given:
        return {}
    root = Path(given)
    if (root / "include/NvInferRuntime.h").is_file():
        return {root.name: root}
    trees = {p.parents[1].name: p.parents[1] for p in sorted(root.glob("*/include/NvInferRuntime.h"))}
    assert trees, f"TENSORRT_ROOT={root} has no include/NvInferRuntime.h, nor has a folder in it; {HEADERS_HINT}"
    return trees


def major_version(tree: Path) -> int:
    """Major version of a header tree."""
    text = (tree / "include/NvInferVersion.h").read_text()
    found = re.search(r"^#define (?:NV_TENSORRT_MAJOR|TRT_MAJOR_ENTERPRISE) +(\d+)", text, re.MULTILINE)
    assert found, f"{tree}/include/NvInferVersion.h names no version"
    return int(found.group(1))


def cuda_headers() -> Path:
    """Folder of cuda_runtime_api.h, which TensorRT's headers include."""
    for root in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if root and (Path(root) / "include/cuda_runtime_api.h").is_file():
            return Path(root) / "include"
    pytest.skip("cuda_runtime_api.h is missing; install a CUDA toolkit or set CUDA_HOME")


def build(folder: Path, *options: str, target: str = "all", source: Path = SOURCE) -> Path:
    """Configure and build in `folder`, a folder of build/ that may hold an earlier build."""
    return native_build.build(str(folder.relative_to(ROOT / "build")), *options, target=target, source=source)


def cases(*files: str) -> list[str]:
    """Names of the C++ cases, read from their sources so that collection needs no build."""
    text = "".join((SOURCE / name).read_text() for name in files)
    return [line.split("(")[1].split(")")[0] for line in text.splitlines() if line.startswith("CASE(")]
