"""Imports run one way: between packages, between the rooms of a package, and never in a circle between modules.

Every import counts, also one inside a function or for type checkers only: it is the same coupling, found later.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"sanp": "toolchain", "sanp_export": "export", "sanp_runtime": "runtime", "sanp_targets": "targets"}
# Each room may import those to its right, and whatever is in the packages to the right of its own.
ROOMS = {
    "sanp": "polygraphy_plugin cli pipeline remote regression report analysis training checkpoint methods cost pruning "
    "quantising gating tracing models data settings",
    "sanp_export": "fold tensorrt exporter open_size environment variants inline passes lower lower_pixels graph "
    "functions named_outputs spec",
    "sanp_runtime": "cli latency profile validate engines measure bundle network contract board",
    "sanp_targets": "pinning probe controls power device sensors power_mode software targets processor pseudo_files "
    "target_files target errors",
}


def modules() -> dict[str, Path]:
    """Name -> file of every module of the four packages; a package is named like its folder."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in (ROOT / folder / package).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(name: str) -> set[str]:
    """The modules of ours that a module imports, wherever in its file."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & MODULES.keys()
            if not inside <= MODULES.keys():
                found.add(node.module)
    # Importing a module runs the packages around it first; its own are running already.
    around = {other[: at.start()] for other in found & MODULES.keys() for at in re.finditer(r"\.", other)}
    return (found & MODULES.keys() | {other for other in around if not f"{name}.".startswith(f"{other}.")}) - {name}


GRAPH = {name: imported(name) for name in MODULES}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[-len(component) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def room(name: str) -> tuple[int, int] | None:
    """Where a module stands: (package, room), larger = lower; None for the front door of a package."""
    package, _, rest = name.partition(".")
    if not rest or rest.startswith("__"):
        return None
    return list(PACKAGES).index(package), ROOMS[package].split().index(rest.split(".")[0])


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_no_circles():
    assert circles(GRAPH) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_has_its_place(package):
    rooms = {name.split(".")[1] for name in MODULES if name.startswith(package + ".")}
    assert {name for name in rooms if not name.startswith("__")} == set(ROOMS[package].split())


@pytest.mark.parametrize("package", PACKAGES)
def test_the_architecture_page_has_the_same_order(package):
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert f"| `{package}` | {', '.join(ROOMS[package].split())} |" in page


def test_no_upward_import():
    upward = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in sorted(others)
        if (here := room(name)) is not None and (there := room(other)) is not None and there < here
    ]
    assert not upward, "\n".join(upward)
