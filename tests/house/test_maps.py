"""Every folder has a map: the README beside a file, or the nearest one above it, names the file."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from tests.house.tree import ROOT, tracked

PARTS = ("toolchain", "export", "runtime", "targets", "benchmarks", "docs", "examples")
# Empty or explained by their name in every folder where they stand.
SELF_EVIDENT = {"__init__.py", "__main__.py", "README.md", "py.typed", "ruff.toml"}


def maps() -> dict[str, list[str]]:
    """README -> the files it has to name, relative to its folder."""
    files = [PurePosixPath(name) for name in tracked()]
    readmes = {path.parent for path in files if path.name == "README.md"}
    found: dict[str, list[str]] = {}
    for path in files:
        if path.parts[0] not in PARTS or path.name in SELF_EVIDENT or path.suffix == ".json":
            continue
        home = next((folder for folder in path.parents if folder in readmes), PurePosixPath())
        found.setdefault(str(home / "README.md"), []).append(str(path.relative_to(home)))
    return found


def is_named(name: str, text: str) -> bool:
    """Whether a text holds a file name as a whole, or `stem.*`, which stands for all files of that stem."""
    stem = name.split(".", 1)[0]
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])|(?<![\w.-]){re.escape(stem)}\.\*", text) is not None


def test_part_of_a_name_is_not_a_name():
    assert is_named("plan.cc", "`plan.cc` and") and is_named("plan.cc", "`plan.*`")
    assert not is_named("plan.cc", "winograd_plan.cc") and not is_named("plan.h", "plan.hpp, plan.cc")


@pytest.mark.parametrize("readme", sorted(maps()))
def test_the_readme_names_every_file(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    missing = [name for name in maps()[readme] if not is_named(PurePosixPath(name).name, text)]
    assert not missing, f"{readme} does not name {', '.join(missing)}"


@pytest.mark.parametrize("part", [part for part in PARTS if part != "docs"])
def test_rooms_are_small(part):
    """A folder that holds more than this is several rooms."""
    folders: dict[str, int] = {}
    for name in tracked():
        path = PurePosixPath(name)
        if path.parts[0] == part and path.suffix != ".json":
            folders[str(path.parent)] = folders.get(str(path.parent), 0) + 1
    assert {folder: count for folder, count in folders.items() if count > 35} == {}
