"""Instructions of representative AVX2 kernels against committed counts: speed regressions show without a quiet machine.

    python -m tests.native.test_instruction_counts      # prints the counts of this tree, to be committed

Counts belong to one major version of GCC. Another compiler is held to the bounds per multiply-add only.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native import native_build

pytestmark = pytest.mark.slow

COMMITTED = Path(__file__).with_name("instruction_counts.json")
TOLERANCE = 0.03
# Instructions per vector of eight multiply-adds of the direct sum. A tile of 6 x 2 needs 2.0 (12 multiply-adds, 6
# broadcasts, 2 loads, 4 for the loop); Winograd divides its products by 2.25 or 4 and adds the transforms.
MOST_PER_VECTOR = {
    "winograd-4": 1.3,
    "winograd-2": 1.9,
    "rows": 2.6,
    "columns": 3.3,
    "in-place": 4.0,
    "pixel-pairs": 6.0,
    "block": 4.4,
}

# A shift for each 16-bit weight, which 6 x 2 multiplies twice.
WIDENING = 0.5


def build() -> Path:
    """The program that runs every case once; in the folder of the other kernel tests."""
    return native_build.build("native-tests", "-DSANP_NATIVE_TESTS=ON", target="sanp_count") / "tests/cpu/sanp_count"


def count(program: Path, folder: Path) -> tuple[str, dict]:
    """(compiler, {case: {"algorithm", "multiply_adds", "instructions"}}) as callgrind counts them.

    Callgrind writes a part before every case and one at the end; the first part holds nothing.
    """
    out = folder / "out"
    parts = [f"--dump-before=sanp_counted_{what}" for what in ("conv", "block", "gate")]
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=sanp_counted_*", *parts,
               f"--callgrind-out-file={out}", program]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 2:
        pytest.skip("this CPU, or this valgrind, has no AVX2")
    assert done.returncode == 0, done.stderr[-2000:]
    compiler, *lines = done.stdout.splitlines()
    files = [folder / f"out.{i + 2}" for i in range(len(lines) - 1)] + [out]
    cases = {}
    for line, part in zip(lines, files):
        name, macs, algorithm = line.split("\t")
        summary = re.search(r"^summary: (\d+)", part.read_text(), re.MULTILINE)
        assert summary, f"{part.name}: callgrind wrote no summary"
        cases[name] = {"algorithm": algorithm, "multiply_adds": int(macs), "instructions": int(summary[1])}
    return compiler, cases


@pytest.fixture(scope="module")
def counted(tmp_path_factory) -> tuple[str, dict]:
    for tool in ("valgrind", "cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is missing")
    return count(build(), tmp_path_factory.mktemp("callgrind"))


def test_instructions_per_multiply_add(counted):
    for name, case in counted[1].items():
        most = MOST_PER_VECTOR.get(case["algorithm"])
        if most is None or "one of eight" in name:
            continue
        most += WIDENING if "16 bits" in name else 0.0
        found = 8 * case["instructions"] / case["multiply_adds"]
        assert found <= most, f"{name}: {found:.2f} instructions per vector of multiply-adds, expected at most {most}"


def test_instructions_are_those_of_the_last_commit(counted):
    committed = json.loads(COMMITTED.read_text())
    compiler, cases = counted
    if compiler != committed["compiler"]:
        pytest.skip(f"counts are those of {committed['compiler']}, this is {compiler}")
    assert list(cases) == list(committed["instructions"]), "the cases changed: commit the new counts, see above"
    for name, expected in committed["instructions"].items():
        found = cases[name]["instructions"]
        assert abs(found / expected - 1) <= TOLERANCE, (
            f"{name}: {found} instructions, committed are {expected}; if that is meant, run this file and commit its "
            f"output as {COMMITTED.name}"
        )


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        version, found = count(build(), Path(scratch))
    counts = {name: case["instructions"] for name, case in found.items()}
    json.dump({"compiler": version, "instructions": counts}, sys.stdout, indent=1)
    print()
