"""The list of statements in the README of this folder names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parents[1]


def test_every_statement_has_tests_that_exist():
    rows = [line for line in (HERE / "README.md").read_text(encoding="utf-8").splitlines() if "::" in line]
    assert len(rows) == 15
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert len(named) == row.count("::")
        for file, test in named:
            tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
            assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{test}"
