"""The command in this process and in new ones, and a compiled bundle to try it on."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from sanp.cli.app import main
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export


@dataclass
class Outcome:
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def sanp(capsys, monkeypatch):
    """Run the command in this process: a new one per call would import torch dozens of times."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sanp", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def in_new_process():
    """Run Python code with the packages of this process on its path."""

    def run(code, **environment):
        path = os.pathsep.join(entry for entry in sys.path if entry)
        command = [sys.executable, "-c", code]
        encodings = ("PYTHONIO", "PYTHONUTF8", "LC_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(encodings)}
        return subprocess.run(
            command, capture_output=True, env={**kept, "PYTHONPATH": path, **environment}, timeout=120, check=False
        )

    return run


@pytest.fixture(scope="session")
def bundle(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    export(trained, folder / "model.onnx", samples=8)
    return compile_model(folder / "model.onnx", folder / "model.sanp").bundle.path
