"""The quota of a container, in fake trees of cgroup v1 and v2."""

from __future__ import annotations

import pytest

from sanp_targets.device import fingerprint
from sanp_targets.sensors import read_sensors, throttle_events


def write(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


STAT = "usage_usec 1\nnr_periods 100\nnr_throttled {}\nthrottled_usec {}\n"
OLD_STAT = "nr_periods 100\nnr_throttled {}\nthrottled_time {}\n"
TREES = {
    "v2 in a container": ("0::/\n", "sys/fs/cgroup", {"cpu.max": "20000 100000\n"}, STAT, "throttled_usec"),
    "v2 limit outside": ("0::/a/b\n", "sys/fs/cgroup/a", {"cpu.max": "20000 100000\n"}, STAT, "throttled_usec"),
    "v1": (
        "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n",
        "sys/fs/cgroup/cpu,cpuacct",
        {"cpu.cfs_quota_us": "20000\n", "cpu.cfs_period_us": "100000\n"},
        OLD_STAT,
        "throttled_time",
    ),
}


@pytest.mark.parametrize("name", TREES)
def test_a_container_that_was_stopped_is_throttled(tmp_path, name):
    group, folder, limit, stat, duration = TREES[name]
    write(tmp_path, {"proc/self/cgroup": group, **{f"{folder}/{key}": text for key, text in limit.items()}})
    if "v1" in name:
        write(tmp_path, {"sys/fs/cgroup/cpu/cpu.stat": stat.format(4, 1000)})  # a link on real machines
    write(tmp_path, {f"{folder}/cpu.stat": stat.format(4, 1000)})
    assert fingerprint(tmp_path)["cpu_limit"] == pytest.approx(0.2)
    before = read_sensors(tmp_path)
    assert throttle_events([before, read_sensors(tmp_path)]) == []
    write(tmp_path, {f"{folder}/cpu.stat": stat.format(100, 5001000)})
    events = throttle_events([before, read_sensors(tmp_path)])
    assert "cgroup/nr_throttled rose from 4 to 100" in events
    assert f"cgroup/{duration} rose from 1000 to 5001000" in events


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        {"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "a b c"},
        {"proc/self/cgroup": "4:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n"},
    ],
)
def test_no_limit_is_none(tmp_path, files):
    write(tmp_path, files)
    assert fingerprint(tmp_path)["cpu_limit"] is None
