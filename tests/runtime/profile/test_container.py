"""A profile in a real control group that may use 20 % of a processor is THROTTLED, with the number of stops."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CGROUP = Path("/sys/fs/cgroup")
QUOTA_US, PERIOD_US = 20_000, 100_000

# `sanp profile` in the group: the packages are imported before, so that the limit slows only what is measured.
RUN = """
import os, sys
from sanp.cli import app
import sanp.pipeline.profile
with open(sys.argv[1] + "/cgroup.procs", "w") as group:
    group.write(str(os.getpid()))
sys.argv[:] = ["sanp", "profile", *sys.argv[2:]]
app.main()
"""


def version_1() -> tuple[Path, dict[str, str]]:
    """The tree of the controller `cpu`, beside the group of this process."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        if "cpu" in controllers.split(","):
            for folder in (CGROUP / controllers, CGROUP / "cpu"):
                if (folder / "cpu.stat").exists():
                    limits = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(QUOTA_US)}
                    return folder / place.strip("/"), limits
    raise OSError("the controller cpu of version 1 is not mounted")


def version_2() -> tuple[Path, dict[str, str]]:
    """The one tree, where it has the controller."""
    if "cpu" not in (CGROUP / "cgroup.controllers").read_text().split():
        raise OSError("version 2 has no controller cpu here")
    with contextlib.suppress(OSError):  # on already, or not ours to turn on: then the limit cannot be written
        (CGROUP / "cgroup.subtree_control").write_text("+cpu")
    return CGROUP, {"cpu.max": f"{QUOTA_US} {PERIOD_US}"}


@pytest.fixture(params=[version_1, version_2], ids=["cgroup v1", "cgroup v2"])
def group(request) -> Iterator[Path]:
    """A group of its own with the limit; the test is skipped where none can be made."""
    folder = None
    try:
        parent, limits = request.param()
        folder = parent / f"sanp-test-{os.getpid()}"
        folder.mkdir()
        for name, text in limits.items():
            (folder / name).write_text(text)
    except OSError as error:
        if folder is not None and folder.exists():
            folder.rmdir()
        pytest.skip(f"no control group with a limit can be made here: {error}")
    yield folder
    folder.rmdir()


def stops(folder: Path) -> int:
    """The kernel's own count."""
    rows = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
    return int(rows["nr_throttled"])


def test_a_fifth_of_a_processor_is_throttled_with_its_count(group, native_path):
    path = os.pathsep.join(str(ROOT / part) for part in ("toolchain", "export", "runtime", "targets"))
    command = [sys.executable, "-c", RUN, str(group), str(native_path), "--duration", "1", "--json"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 4 and "THROTTLED" in done.stderr, done.stderr
    result = json.loads(done.stdout)
    validity, quota = result["validity"], result["validity"]["evidence"]["quota"]
    assert validity["verdict"] == "THROTTLED" and result["device"]["cpu_limit"] == pytest.approx(0.2)
    assert 2 <= quota["periods"] <= stops(group), "the counter of the kernel, which also saw the loading"
    assert quota["seconds"] > 0.1 * quota["periods"] * PERIOD_US / 1e6
    words = f"stopped the process in {quota['periods']} periods, {quota['seconds']:.1f} s in all, by the limit of 0.2"
    assert words in validity["reasons"][0]
    assert sum(row["count"] for row in result["stalls"].values()) > 0, "a stop is a stall of some call"
