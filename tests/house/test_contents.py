"""What the repository holds is text of its own: nothing packed or built, nothing downloaded."""

from __future__ import annotations

from tests.house.tree import ROOT, tracked

MOST_BYTES = 512 * 1024  # the largest table of measurements has 210 kB
PACKED = (".whl", ".so", ".o", ".a", ".zip", ".gz", ".xz", ".npz", ".pt", ".pth", ".safetensors", ".onnx", ".engine")


def test_nothing_is_packed_built_or_large():
    found = [name for name in tracked() if name.endswith(PACKED) or (ROOT / name).stat().st_size > MOST_BYTES]
    assert not found, f"{', '.join(found)}: keep it outside the repository, or have a command make it"


def test_the_root_holds_no_strays():
    """Everything at the top is a part, a hidden folder of a tool, or one of the files that tools look for there."""
    files = {name for name in tracked() if "/" not in name}
    assert files <= {
        ".clang-format", ".dockerignore", ".gitignore", "ARCHITECTURE.md", "CONTRIBUTING.md", "Dockerfile", "LICENSE",
        "Makefile", "README.md", "constraints.txt", "pyproject.toml", "ruff.toml",
    }, sorted(files)  # fmt: skip
