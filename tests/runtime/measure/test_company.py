"""Neighbours on the processors of a measurement, pressure, the quota, and the governor of a GPU in the verdict."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sanp_runtime.measure import company
from sanp_runtime.measure.timing import measure
from sanp_runtime.measure.verdict import NOISY, THROTTLED, UNPINNED, VALID, Conditions, assess
from sanp_targets.pinning import choose_cpus, pinned
from sanp_targets.sensors import Reading
from tests.runtime.measure.test_timing import FIXED, measurement, steady


def run(cpu_s, first, last):
    """A measurement of 10 s of which `cpu_s` was our own processor time."""
    return dataclasses.replace(measurement(steady(), [first, last]), cpu_s=cpu_s)


def busy(**ticks):
    return Reading(busy_ticks=ticks)


def test_neighbours_are_what_was_busy_and_not_ours():
    """1000 ticks are the 10 s of processor 3; 9.5 s were ours, and two ticks may be rounding."""
    alone = run(9.98, busy(cpu3=5000, cpu1=0), busy(cpu3=6000, cpu1=900))
    assert company.neighbour_share(alone, [3]) == 0.0, "who computes on other processors is none"
    assert assess(alone, FIXED).verdict == VALID
    crowded = run(7.0, busy(cpu3=5000), busy(cpu3=6000))
    assert company.neighbour_share(crowded, [3]) == pytest.approx(0.298)
    found = assess(crowded, FIXED)
    assert found.verdict == NOISY and "others used the processors of the measurement for 30%" in found.reasons[0]
    assert found.evidence["neighbours"] == pytest.approx(0.298)


@pytest.mark.parametrize(
    ("cpu_s", "cpus", "first"),
    [(None, [3], busy(cpu3=1)), (1.0, None, busy(cpu3=1)), (1.0, [3], busy(cpu2=1)), (1.0, [3], Reading())],
    ids=["other processes", "not pinned", "other processor", "not told"],
)
def test_what_is_not_known_is_none(cpu_s, cpus, first):
    assert company.neighbour_share(run(cpu_s, first, busy(cpu3=2)), cpus) is None


def test_waiting_is_evidence():
    found = assess(run(1.0, Reading(waited_us=5), Reading(waited_us=2_000_005)), FIXED)
    assert found.evidence["waiting"] == pytest.approx(0.2) and found.verdict == VALID
    assert assess(measurement(steady()), FIXED).evidence["waiting"] is None


def test_stops_by_a_quota_have_their_count_and_time():
    throttle = {"cgroup/nr_throttled": 1, "cgroup/throttled_usec": 0, "cgroup/throttled_time": 0}
    later = {"cgroup/nr_throttled": 24, "cgroup/throttled_usec": 1_500_000, "cgroup/throttled_time": 400_000_000}
    limited = Conditions([3], "performance", 4, cpu_limit=0.2)
    found = assess(run(1.0, Reading(throttle=throttle), Reading(throttle=later)), limited)
    assert found.verdict == THROTTLED
    said = "the kernel stopped the process in 23 periods, 1.9 s in all, by the limit of 0.2 processors"
    assert found.reasons[0] == said
    assert found.evidence["quota"] == {"periods": 23, "seconds": pytest.approx(1.9)}
    still = assess(run(1.0, Reading(throttle=throttle), Reading(throttle=throttle)), limited)
    assert still.verdict == VALID and still.evidence["quota"] == {"periods": 0, "seconds": 0.0}


def test_a_gpu_whose_clock_is_free_is_unpinned():
    free = {"17000000.gpu": {"governor": "nvhost_podgov", "min_mhz": 306.0, "max_mhz": 624.75, "fixed": False}}
    found = assess(measurement(steady()), Conditions([3], "performance", 4, gpus=free))
    assert found.verdict == UNPINNED
    assert "free between 306 and 625 MHz under the governor nvhost_podgov" in found.reasons[0]
    assert found.evidence["gpu_governor"] == free
    for state in ({**free["17000000.gpu"], "fixed": True}, {"persistence": False, "application_mhz": None}):
        assert assess(measurement(steady()), Conditions([3], "performance", 4, gpus={"g": state})).verdict == VALID


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs /proc/stat")
def test_a_real_neighbour_is_seen():
    """Another process on our processor, for half of its time by the kernel's own choice."""
    cpus = choose_cpus(1)
    with pinned(cpus) as is_pinned:
        if not is_pinned:
            pytest.skip("processes cannot be pinned here")
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:  # inherits the processor
            try:
                time.sleep(0.2)
                found = measure({"dense": [lambda: sum(range(2000))]}, 0.6)
            finally:
                other.kill()
    assert company.neighbour_share(found, cpus) > 0.2
