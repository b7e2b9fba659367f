"""What goes to the device: Python 3.8 syntax, and no import beyond numpy and the standard library."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"sanp_targets": ROOT / "targets" / "sanp_targets", "sanp_runtime": ROOT / "runtime" / "sanp_runtime"}
FILES = sorted(path for folder in PACKAGES.values() for path in folder.rglob("*.py"))

# Blocks an import as if the package were not installed, then imports every module of a package.
IMPORT_ALL = """
import importlib, pkgutil, sys
blocked = set(sys.argv[2].split(","))
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
package = importlib.import_module(sys.argv[1])
names = [info.name for info in pkgutil.walk_packages(package.__path__, sys.argv[1] + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_python_38_syntax(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    if path.name != "__init__.py":
        future = [node.names[0].name for node in tree.body if isinstance(node, ast.ImportFrom)][:1]
        assert future == ["annotations"], "annotations such as list[int] must not be evaluated on Python 3.8"


@pytest.mark.parametrize(
    ("package", "blocked"),
    [
        ("sanp_targets", "numpy,torch,onnx,onnxruntime,sanp,sanp_export,sanp_runtime,tomllib,tomli"),
        ("sanp_runtime", "torch,onnx,onnxruntime,tensorrt,sanp,sanp_export,jinja2,typer,rich,pydantic,tomllib,tomli"),
    ],
)
def test_imports_where_nothing_is_installed(package, blocked):
    path = os.pathsep.join(str(folder.parent) for folder in PACKAGES.values())
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, package, blocked],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5
