"""Timing on a fake clock: equal issue, rotation, warm-up, statistics and the verdict."""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from sanp_runtime.measure.company import steal_share
from sanp_runtime.measure.stats import stats
from sanp_runtime.measure.timing import Measurement, WarmUp, measure, warm_up
from sanp_runtime.measure.verdict import (
    NOISY,
    THROTTLED,
    UNPINNED,
    VALID,
    Conditions,
    Validity,
    assess,
    drift_of,
    joined,
    spread_of,
)
from sanp_targets.errors import ConfigError
from sanp_targets.sensors import Reading

MS = 1_000_000


class Machine:
    """A clock that only calls advance, and a log of the calls."""

    def __init__(self) -> None:
        self.now = 0
        self.log: list[tuple[str, int]] = []

    def clock(self) -> int:
        return self.now

    def call(self, name: str, index: int, cost_ms: float):
        def run() -> None:
            self.log.append((name, index))
            self.now += int(cost_ms * MS)

        return run


def engines(machine: Machine, samples: int = 20):
    costs = {"dense": lambda i: 4.0, "open": lambda i: 5.0, "gated": lambda i: 1.0 + 0.1 * i}
    return {name: [machine.call(name, i, cost(i)) for i in range(samples)] for name, cost in costs.items()}


def test_every_sample_is_issued_equally_often_to_every_engine():
    machine = Machine()
    calls = engines(machine)
    result = measure(calls, 2.0, clock=machine.clock, sensors=Reading)
    shapes = {values.shape for values in result.latency_ms.values()}
    assert len(shapes) == 1 and shapes.pop()[1] == 20
    np.testing.assert_allclose(result.per_sample_ms("gated"), 1.0 + 0.1 * np.arange(20))
    assert result.typical_ms("dense") == pytest.approx(4.0)
    assert result.typical_ms("gated") == pytest.approx(1.95)
    rounds = result.latency_ms["dense"].shape[0]
    assert rounds >= 2 and 2 <= len(result.readings) <= 2.0 / 0.1 + 2, "sensors are read every 100 ms at most"
    warm = sum(state.calls for state in result.warm_up.values())
    counts = Counter(machine.log[warm:])
    # Two blocks per round, each with one extra call of its first sample.
    assert set(counts.values()) == {rounds, 2 * rounds}
    assert {index for (_, index), count in counts.items() if count == 2 * rounds} == {0, 16}


def test_order_rotates():
    machine = Machine()
    result = measure(engines(machine, samples=3), 1e-9, clock=machine.clock, sensors=Reading)
    assert result.latency_ms["dense"].shape == (2, 3), "two rounds even if the time is over"
    warm = sum(state.calls for state in result.warm_up.values())
    order = [name for name, _ in machine.log[warm:]]
    assert list(dict.fromkeys(order[:12])) == ["dense", "open", "gated"]
    assert list(dict.fromkeys(order[12:])) == ["open", "gated", "dense"]


def test_warm_up_is_timed_stable_and_capped():
    machine = Machine()
    state = warm_up([machine.call("a", 0, 5.0)], machine.clock)
    assert state.stable and 200 <= state.ms <= 300
    noisy = Machine()
    costs = iter([1.0, 9.0] * 100_000)

    def erratic() -> None:
        noisy.now += int(next(costs) ** (1 + noisy.now / 1e9) * MS)

    state = warm_up([erratic], noisy.clock)
    assert state.ms >= 200
    slow = Machine()
    state = warm_up([slow.call("a", 0, 3000.0)], slow.clock)
    assert (state.calls, state.stable) == (1, False), "one pass of a slow engine is enough"


def test_garbage_collector_is_off_inside_and_restored():
    machine = Machine()
    states = []
    calls = {"dense": [lambda: (states.append(gc.isenabled()), machine.call("dense", 0, 50.0)())]}
    assert gc.isenabled()
    measure(calls, 0.1, clock=machine.clock, sensors=Reading)
    assert gc.isenabled() and not any(states)

    def fails() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        measure({"dense": [fails]}, 0.1, clock=machine.clock, sensors=Reading)
    assert gc.isenabled()


@pytest.mark.parametrize("duration", [0, -1, math.nan, math.inf, "1"])
def test_duration_is_checked(duration):
    with pytest.raises(ConfigError, match="duration"):
        measure({"dense": [lambda: None]}, duration)


@pytest.mark.parametrize("lists", [{}, {"dense": []}, {"dense": [print], "gated": [print, print]}])
def test_lists_are_checked(lists):
    with pytest.raises(ConfigError, match="samples"):
        measure(lists, 1.0)


def test_stats_block():
    block = stats(np.arange(1, 1001))
    assert list(block) == ["unit", "count", "mean", "stdev", "min", "max", "p50", "p90", "p95", "p99", "values"]
    assert (block["unit"], block["count"], block["mean"]) == ("ms", 1000, 500.5)
    assert block["p50"] == 500.5 and block["p99"] == pytest.approx(990.01)
    assert stats(np.ones(999))["p99"] is None, "p99 needs 1000 values"
    assert stats([3.0])["stdev"] is None
    with pytest.raises(ValueError, match="no values"):
        stats([])


def measurement(dense: np.ndarray, readings: list[Reading] | None = None) -> Measurement:
    states = {"dense": WarmUp(10, 200.0, True)}
    return Measurement({"dense": dense}, states, tuple(readings or [Reading(), Reading()]), 10.0, 0)


def steady(rounds: int = 10, samples: int = 8, jitter: float = 0.01) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, jitter, (rounds, samples))
    return np.linspace(1, 3, samples) * (1 + noise)


FIXED = Conditions(cpus=[3], governor="performance", cores=4, clocks=["policy0"])


def test_quiet_run_is_valid():
    verdict = assess(measurement(steady()), FIXED)
    assert (verdict.verdict, verdict.reasons) == (VALID, ())
    assert abs(verdict.evidence["drift"]) < 0.01 and verdict.evidence["clock_drop"] is None


def test_differences_between_samples_are_not_noise():
    values = np.tile(np.array([1.0, 100.0]), (20, 1))
    assert spread_of(values) == 0 and drift_of(values) == 0
    assert assess(measurement(values), FIXED).verdict == VALID


def test_noise_and_drift():
    spread = assess(measurement(steady(jitter=0.3)), FIXED)
    assert spread.verdict == NOISY and any("spread" in reason for reason in spread.reasons)
    slower = steady()
    slower[5:] *= 1.2
    drift = assess(measurement(slower), FIXED)
    assert drift.verdict == NOISY and "drifted by +20" in drift.reasons[0]
    short = assess(measurement(steady(rounds=2)), FIXED)
    assert short.verdict == NOISY and "only 16 calls" in short.reasons[0]


def test_spread_of_data_and_of_the_machine():
    samples, noise = np.linspace(1, 2, 11), np.tile([-0.1, 0.0, 0.1], (11, 1)).T
    spread = measurement(samples + noise).spread_ms("dense")
    assert spread == {"data": pytest.approx(0.8), "machine": pytest.approx(0.2)}
    assert measurement(np.tile(samples, (3, 1))).spread_ms("dense")["machine"] == 0


def test_stolen_time_is_noise():
    readings = [Reading(steal_ticks=100), Reading(steal_ticks=100 + 200)]  # 2 s of 4 * 10 s
    verdict = assess(measurement(steady(), readings), FIXED)
    assert verdict.verdict == NOISY and verdict.evidence["steal"] == pytest.approx(0.05)


def test_throttling_beats_everything():
    readings = [Reading(throttle={"cpu0/core": 1}), Reading(throttle={"cpu0/core": 4})]
    verdict = assess(measurement(steady(jitter=0.3), readings), Conditions(None, "powersave", 4))
    assert verdict.verdict == THROTTLED and verdict.reasons[0] == "cpu0/core rose from 1 to 4"
    assert any("powersave" in reason for reason in verdict.reasons), "all reasons are reported"


def test_a_container_that_the_kernel_stopped_is_throttled():
    """Medians hide it: nothing but the counter of the quota tells."""
    readings = [Reading(throttle={"cgroup/nr_throttled": 4}), Reading(throttle={"cgroup/nr_throttled": 100})]
    found = assess(measurement(steady(), readings), FIXED)
    assert found.verdict == THROTTLED and "stopped the process in 96 periods, by the limit of the" in found.reasons[0]
    assert found.evidence["throttle_events"] == ["cgroup/nr_throttled rose from 4 to 100"]
    assert found.evidence["quota"] == {"periods": 96, "seconds": None}


def test_clock_drop():
    readings = [Reading(clock_mhz={"policy0": 2000.0, "policy4": 100.0}), Reading(clock_mhz={"policy0": 1000.0})]
    assert assess(measurement(steady(), readings), FIXED).verdict == THROTTLED
    free = Conditions([3], "schedutil", 4, clocks=["policy0"])
    verdict = assess(measurement(steady(), readings), free)
    assert verdict.verdict == UNPINNED and "varied down to 50%" in verdict.reasons[0]
    slower = steady()
    slower[5:] *= 1.5
    assert assess(measurement(slower, readings), free).verdict == THROTTLED
    idle_core = [Reading(clock_mhz={"policy4": 2000.0}), Reading(clock_mhz={"policy4": 400.0})]
    assert assess(measurement(steady(), idle_core), FIXED).verdict == VALID, "only the clocks of our cores count"


def test_unpinned():
    assert assess(measurement(steady()), Conditions(None, "performance", 4)).verdict == UNPINNED
    virtual = assess(measurement(steady()), Conditions([0], None, 2, "virtual machine"))
    assert virtual.verdict == UNPINNED and "(virtual machine)" in virtual.reasons[0]
    missing = assess(measurement(steady(), [Reading(), Reading(missing=("temperature_c",))]), FIXED)
    assert missing.verdict == VALID and missing.notes == ("temperature_c cannot be read on this machine",)


def test_a_machine_that_was_throttled_before_the_run_is_throttled():
    """Nothing changes between the readings; the level alone tells."""
    hot = [Reading(levels={"cpufreq-cpu0/1": 3}), Reading(levels={"cpufreq-cpu0/1": 3})]
    found = assess(measurement(steady(), hot), FIXED)
    assert found.verdict == THROTTLED
    assert found.reasons == ("cpufreq-cpu0/1 was at level 3 when the measurement began",)


def test_a_gpu_clock_that_moves_is_unpinned():
    moving = [Reading(gpu_clock_mhz={"gpu0": 306.0}), Reading(gpu_clock_mhz={"gpu0": 1410.0})]
    found = assess(measurement(steady(), moving), FIXED)
    assert found.verdict == UNPINNED and "gpu0 varied between 306 and 1410 MHz" in found.reasons[0]
    assert found.evidence["gpu_clock_mhz"] == {"gpu0": [306.0, 1410.0]}
    still = [Reading(gpu_clock_mhz={"gpu0": 1395.0}), Reading(gpu_clock_mhz={"gpu0": 1410.0})]
    assert assess(measurement(steady(), still), FIXED).verdict == VALID


def test_sources_that_could_not_be_read_are_notes_one_by_one():
    blind = [Reading(missing=("clock of the GPU", "over-current counters of the board"))] * 2
    assert assess(measurement(steady(), blind), FIXED).notes == (
        "clock of the GPU cannot be read on this machine",
        "over-current counters of the board cannot be read on this machine",
    )


def test_steal_is_that_of_the_processors_of_the_measurement():
    """One of 16 processors loses a tenth of its time: of all of them that is 0.6 %, of this one it is not."""
    readings = [Reading(stolen_ticks={"cpu3": 100, "cpu0": 5}), Reading(stolen_ticks={"cpu3": 200, "cpu0": 5})]
    readings = [replace(row, steal_ticks=sum(row.stolen_ticks.values())) for row in readings]
    measured = Measurement({}, {}, tuple(readings), elapsed_s=10.0)
    assert steal_share(measured, 16, [3]) == pytest.approx(0.1)
    assert steal_share(measured, 16, [0, 3]) == pytest.approx(0.05)
    assert steal_share(measured, 16, None) == pytest.approx(0.1 / 16)
    assert steal_share(measured, 16, [7]) == pytest.approx(0.1 / 16), "a processor that the system does not tell of"


def test_the_sensors_are_compared_with_the_time_of_the_wall():
    """Whatever clock the calls are timed by (processor time, or this one, which says 100 s each time)."""
    ticks = itertools.count(0, 100_000 * MS)
    found = measure({"dense": [lambda: time.sleep(0.01)]}, 0.001, clock=lambda: next(ticks), sensors=Reading)
    assert 0.02 <= found.elapsed_s < 50


def test_the_worse_verdict_of_two_measurements_counts():
    quiet = Validity(VALID, (), ("note",), {"drift": 0.0})
    hot = Validity(THROTTLED, ("it was hot", "not pinned"), (), {})
    unpinned = Validity(UNPINNED, ("not pinned",), (), {})
    assert joined(quiet, hot, "budgets").verdict == THROTTLED == joined(hot, quiet, "budgets").verdict
    assert joined(unpinned, hot, "budgets").reasons == ("not pinned", "budgets: it was hot")
    assert joined(quiet, unpinned, "budgets").evidence == {"drift": 0.0}
