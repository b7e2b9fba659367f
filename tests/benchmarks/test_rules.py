"""Benchmarks stand alone: they import no tests, edit no path, name what they need, and their commands exist."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
PACKAGES = {"benchmarks": ROOT, "sanp_export": ROOT / "export", "sanp_runtime": ROOT / "runtime",
            "sanp_targets": ROOT / "targets", "sanp": ROOT / "toolchain"}  # fmt: skip
# `python -m module` of every page, in one line or broken over two; names in capitals stand for others.
COMMAND = re.compile(r"python\s+-m\s+(benchmarks(?:\.[a-z]\w*)+)")
PAGES = [page for page in ROOT.rglob("*.md") if not {"build", ".venv"} & set(page.relative_to(ROOT).parts)]
SCRIPTS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in BENCHMARKS
    if 'if __name__ == "__main__"' in path.read_text(encoding="utf-8") and path.stem != "worker"
]
WITH_COMMANDS = [page for page in PAGES if COMMAND.search(page.read_text(encoding="utf-8"))]


def name_of(path):
    return str(path.relative_to(ROOT))


def imports(path, nested):
    """Dotted names that a file imports, `from a import b` as a and a.b; nested: those inside functions as well."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    if not nested:
        inside = {id(n) for f in nodes if isinstance(f, (ast.FunctionDef, ast.Lambda)) for n in ast.walk(f)}
        nodes = [node for node in nodes if id(node) not in inside]
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_no_benchmark_imports_tests():
    guilty = [name_of(path) for path in BENCHMARKS if any(n.split(".")[0] == "tests" for n in imports(path, True))]
    assert not guilty


@pytest.mark.parametrize("path", [*BENCHMARKS, *sorted((ROOT / "tests").rglob("*.py"))], ids=name_of)
def test_no_path_is_edited(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        changed = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr != "syspath_prepend"
            changed = [node.func.value] if node.func.attr in ("insert", "append", "extend", "remove") else []
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            changed = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in changed:
            assert not ast.unparse(target).startswith("sys.path"), f"line {node.lineno}"


def file_of(module):
    """The source of a module of this repository, or None; of a package its __init__.py."""
    root = PACKAGES.get(module.split(".")[0])
    place = root / module.replace(".", "/") if root else Path("/nowhere")
    return next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()), None)


def third_party(start):
    """What modules import from outside this repository and the standard library when they are imported."""
    found, seen, todo = set(), set(), list(start)
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        path = file_of(module)
        if path is not None:
            # Benchmarks import inside functions what they need; packages what they may do without.
            todo += imports(path, module.startswith("benchmarks"))
            todo += [module.rpartition(".")[0]] if "." in module else []
        elif module.split(".")[0] not in PACKAGES:
            found.add(module.split(".")[0])
    return found - set(sys.stdlib_module_names)


def named(lines):
    """Packages of requirement lines, spelled as they are imported."""
    words = (re.match(r"[A-Za-z0-9_-]+", line) for line in lines if not line.startswith("-"))
    return {word[0].lower().replace("-", "_") for word in words if word}


def test_requirements_of_peers_name_every_import():
    """`pip install . -r requirements.txt` brings the dependencies of the package and those of the file, no extra."""
    folder = ROOT / "benchmarks/peers"
    needed = third_party(f"benchmarks.peers.{path.stem}" for path in folder.glob("*.py"))
    assert {"numpy", "onnx", "onnxruntime", "openvino", "ncnn"} <= needed, "the walk finds what is plainly there"
    assert "torch" not in needed
    own = named((folder / "requirements.txt").read_text().splitlines())
    base = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert needed <= own | named(base), f"missing: {sorted(needed - own - named(base))}"
    assert named((folder / "requirements-pnnx.txt").read_text().splitlines()) == {"pnnx"}


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_of_the_pages_exist(page):
    for module in COMMAND.findall(page.read_text(encoding="utf-8")):
        source = file_of(module)
        assert source is not None and "__main__" in source.read_text(encoding="utf-8"), module


@pytest.mark.parametrize("folder", sorted({path.parent for path in (ROOT / "benchmarks").rglob("*.*")
                                           if "__pycache__" not in path.parts}), ids=name_of)  # fmt: skip
def test_readme_names_every_file_and_command(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    for path in folder.iterdir():
        if path.name in ("README.md", "__init__.py", "__pycache__"):
            continue
        assert f"`{path.name}{'/' if path.is_dir() else ''}`" in text, path.name
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert module not in SCRIPTS or module in COMMAND.findall(text), f"no command of {path.name}"


@pytest.mark.parametrize("module", SCRIPTS)
def test_help_is_the_text_at_the_top(module, capsys, monkeypatch):
    """So every script imports what the packages have today, and says how it is called."""
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main()
    assert ended.value.code == 0
    assert f"python -m {module}" in capsys.readouterr().out
