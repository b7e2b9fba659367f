"""docs/tutorial.md runs as it is written: files, shell and Python, block after block, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

PAGE = ROOT / "docs/tutorial.md"
SHIM = '#!/bin/sh\nexec "{python}" -m sanp "$@"\n'


def blocks() -> list[tuple[str, str, str]]:
    """(language, file or "", text) of every fenced block; one that is a file begins with its name as a comment."""
    found = re.findall(r"(?ms)^```(\w+)\n(?:# (\S+\.\w+)\n)?(.*?)^```$", PAGE.read_text(encoding="utf-8"))
    return [(language, name, text) for language, name, text in found]


def test_every_block_has_a_language_that_is_executed():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(blocks()) > 12
    assert {language for language, name, _ in blocks() if not name} == {"python", "shell"}
    assert not re.search(r"(?m)^(    |\t)\S.*sanp ", re.sub(r"(?s)```.*?```", "", text)), (
        "indented code is not executed"
    )


@pytest.mark.slow
def test_the_tutorial(tmp_path):
    """All Python blocks are one program, which waits for the shell between them; two minutes on two cores."""
    shim = tmp_path / "bin" / "sanp"
    shim.parent.mkdir()
    shim.write_text(SHIM.format(python=sys.executable))
    shim.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    program = ["import subprocess"]
    for language, name, text in blocks():
        if name:
            program.append(f"open({name!r}, 'w', encoding='utf-8').write({text!r})")
        elif language == "python":
            program.append(text)
        else:
            program.append(f"subprocess.run(['bash', '-euc', {text!r}], check=True)")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",  # beside other tests a second thread costs more than it brings
        "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(["", *(str(Path(path).resolve()) for path in sys.path if path)]),
    }
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        cwd=work, env=environment, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    metrics = [json.loads(line) for line in (work / "run/metrics.jsonl").read_text().splitlines()]
    assert metrics[0]["loss"] > metrics[-1]["loss"] and len(metrics) == 21
    said = re.search(r"accuracy ([\d.]+)% \(dense ([\d.]+)%\) at ([\d.]+)% of the dense MACs", done.stdout)
    assert said is not None, done.stdout
    accuracy, dense, cost = map(float, said.groups())
    assert dense > 95 and accuracy > 85 and cost < 54, "what the page promises is what comes out"
    own = re.search(r"\{'accuracy': ([\d.]+)\} ([\d.]+)", done.stdout)
    assert own is not None and float(own.group(1)) > 0.8, done.stdout
    profile = json.loads((work / "profile.json").read_text())
    assert profile["kind"] == "profile" and (work / "report/report.html").is_file()
