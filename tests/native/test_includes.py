"""Includes of the native code run one way: by a table of folders, from the native root, without a circle."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "runtime/native"
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
SUFFIXES = (".h", ".cc", ".cu", ".inc")

CPU = ("cpu/base", "cpu/microkernels", "cpu/isa", "cpu/conv/plan", "cpu/conv", "cpu/block", "cpu/gate", "cpu/pixels",
       "cpu/int8/kernels", "cpu/int8/conv", "cpu/int8/pool")  # fmt: skip
# Folder: the folders it may include from besides itself. What is not listed here does not exist.
MAY_INCLUDE: dict[str, tuple[str, ...]] = {
    "contract": (),
    "cpu/base": (),
    "cpu/microkernels": ("cpu/base",),
    "cpu/isa": ("cpu/base", "cpu/microkernels"),
    "cpu/conv/plan": ("contract", "cpu/base", "cpu/microkernels", "cpu/isa"),
    "cpu/conv": ("cpu/base", "cpu/microkernels", "cpu/isa", "cpu/conv/plan"),
    "cpu/block": ("contract", "cpu/base", "cpu/microkernels", "cpu/isa"),
    "cpu/gate": ("cpu/base", "cpu/isa"),
    "cpu/pixels": ("cpu/base", "cpu/conv/plan", "cpu/conv"),
    "cpu/int8/kernels": (),
    "cpu/int8/conv": ("contract", "cpu/base", "cpu/int8/kernels"),
    "cpu/int8/pool": ("contract", "cpu/base", "cpu/int8/kernels"),
    "cuda": ("contract",),
    "cuda/base": ("cuda",),
    "cuda/conv": ("cuda", "cuda/base"),
    "cuda/conv/packed": ("cuda/base", "cuda/conv"),
    "cuda/gate": ("cuda", "cuda/base"),
    "ort/common": ("contract", "cpu/base"),
    "ort/cpu": ("contract", "ort/common", *CPU),
    "ort/cuda": ("contract", "ort/common", "ort/cpu", "cuda"),
    "trt": ("contract", "cuda"),
    "tests/cpu": ("contract", *CPU),
    "tests/cuda": ("cuda", "cuda/base"),
    "tests/ort": ("ort/common", "ort/cuda"),
    "tests/trt": ("contract", "trt", "cuda"),
}
# Headers of others: who may include them. The kernels know neither ONNX Runtime nor TensorRT.
OUTSIDE = {
    r"(.*/)?onnxruntime.*": ("tests/ort",),
    r"Nv.*": ("trt", "tests/trt"),
    r"cuda.*": ("cuda/base", "ort/cuda", "trt", "tests/trt"),
}


def sources() -> list[Path]:
    """Every C++ and CUDA file."""
    return sorted(p for p in NATIVE.rglob("*") if p.suffix in SUFFIXES)


def folder_of(path: str) -> str:
    return PurePosixPath(path).parent.as_posix()


def ours() -> dict[str, list[str]]:
    """File to the files of ours that it includes, as written, from the native root."""
    found = {}
    for path in sources():
        includes = INCLUDE.findall(path.read_text())
        found[path.relative_to(NATIVE).as_posix()] = [name for mark, name in includes if mark == '"']
    return found


def circle(graph: dict[str, list[str]]) -> list[str]:
    """One circle of the graph, first node repeated at the end; empty when there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for following in graph[node]:
            if found := visit(following, [*path, node]):
                return found
        done.add(node)
        return []

    for start in graph:
        if found := visit(start, []):
            return found
    return []


def test_the_search_finds_a_circle():
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_includes_are_written_from_the_native_root():
    files = ours()
    wrong = [f"{file}: {name}" for file, names in files.items() for name in names if name not in files]
    assert not wrong, f"expected a file of ours, written from runtime/native: {wrong}"


def test_every_folder_is_in_the_table():
    assert {folder_of(file) for file in ours()} == set(MAY_INCLUDE)


@pytest.mark.parametrize("folder", MAY_INCLUDE)
def test_a_folder_includes_only_what_is_below_it(folder):
    wrong = [
        f"{file}: {name}"
        for file, names in ours().items()
        for name in names
        if folder_of(file) == folder and folder_of(name) not in (folder, *MAY_INCLUDE[folder])
    ]
    assert not wrong, f"{folder} may include from {MAY_INCLUDE[folder]} only: {wrong}"


def test_there_is_no_circle():
    folders = circle({folder: list(allowed) for folder, allowed in MAY_INCLUDE.items()})
    assert not folders, f"the table of folders has a circle: {' -> '.join(folders)}"
    files = circle(ours())
    assert not files, f"files include each other: {' -> '.join(files)}"


def test_headers_of_others_stay_where_they_belong():
    wrong = []
    for path in sources():
        file = path.relative_to(NATIVE).as_posix()
        for mark, name in INCLUDE.findall(path.read_text()):
            for pattern, allowed in OUTSIDE.items():
                if mark == "<" and re.fullmatch(pattern, name) and folder_of(file) not in allowed:
                    wrong.append(f"{file}: <{name}>")
    assert not wrong, wrong
