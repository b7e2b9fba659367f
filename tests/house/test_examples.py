"""The commands of the README and the example of every help text run, one after the other, on a training of seconds."""

from __future__ import annotations

import re
import shlex
import sys

import pytest
from typer.main import get_command

from sanp.cli.app import app, main
from tests.house.tree import ROOT

VERBS = get_command(app).commands
# Each example needs the files of those before it.
ORDER = (
    "train",
    "export",
    "compile",
    "validate",
    "profile",
    "report",
    "inspect",
    "analyze",
    "compare",
    "targets",
    "doctor",
)
SETTINGS = """
[train]
pretrain_epochs = 2
image_size = 16
batch_size = 64
options = { warmup_epochs = 1, joint_epochs = 2 }

[compare]
epochs = 2
pretrain_epochs = 1
duration = 0.1

[compare.training]
width = 0.1
data_options = { modes = 2, train_size = 128, val_size = 10, test_size = 32 }

[profile]
duration = 0.5
allow_invalid = true
"""


def run(command: str, monkeypatch) -> int:
    words = [word for word in shlex.split(command)[1:] if word not in ("--duration", "20")]
    monkeypatch.setattr(sys, "argv", ["sanp", *words, "--config", "sanp.toml"])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.slow
def test_readme_and_help(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sanp.toml").write_text(SETTINGS)
    shown = re.findall(r"(?m)^    (sanp .+)$", (ROOT / "README.md").read_text(encoding="utf-8"))
    examples = {verb: re.search(r"Example: (sanp .+)", VERBS[verb].help or "").group(1) for verb in VERBS}
    assert set(examples) == {*ORDER, "demo"}, "the demo is what `make demo` runs"
    done = set()
    for command in dict.fromkeys([*shown, *(examples[verb] for verb in ORDER)]):
        verb = shlex.split(command)[1]
        again = ["--replace"] if verb in done and verb in ("train", "export", "compile", "profile") else []
        done.add(verb)
        more = ["--json"] if verb == "validate" else []
        code, printed = run(" ".join([command, *again, *more]), monkeypatch), capsys.readouterr()
        assert code == 0, f"{command}: {printed.err}"
        if verb == "validate":
            (tmp_path / "validation.json").write_text(printed.out)
    assert (tmp_path / "report/report.html").is_file()
