"""Energy per inference: mean power times the window over the inferences in it, from enough samples, or not at all."""

from __future__ import annotations

import json
import time

import pytest

from sanp_runtime.measure.energy import MIN_SAMPLES, Window, energy_windows
from sanp_runtime.profile.conditions_text import energy_lines
from sanp_runtime.profile.energy import block
from sanp_targets.power import Meter
from sanp_targets.power.sampler import Trace

RAILS = {"VDD_IN": 6000.0, "VDD_SOC": 1500.0}


def meter(read=lambda: RAILS, **more):
    return Meter("double", "power", read, ("VDD_IN",), **more)


def window(watts: float, calls: int = 100, batch: int = 2, samples: int = MIN_SAMPLES, seconds: float = 4.0):
    values = [{"VDD_IN": 1000 * watts, "VDD_SOC": 500.0}] * samples
    trace = Trace(meter(), 0.0, seconds, [0.1 * index for index in range(samples)], values)
    return Window(trace, calls, calls * batch)


def test_joules_of_an_inference():
    row = window(6.0).to_json(idle_watts=4.5)
    assert row["inference_j"] == pytest.approx(6.0 * 4.0 / 200) and row["above_idle_j"] == pytest.approx(1.5 * 4 / 200)
    assert (row["window_s"], row["samples"], row["calls"], row["inferences"]) == (4.0, MIN_SAMPLES, 100, 200)
    assert row["rail_watts"] == {"VDD_IN": 6.0, "VDD_SOC": 0.5}
    assert window(6.0).to_json(None)["above_idle_j"] is None, "without the idle power there is nothing above it"


def test_too_few_samples_say_nothing():
    row = window(6.0, samples=MIN_SAMPLES - 1).to_json(4.5)
    assert row["watts"] is None and row["inference_j"] is None and row["above_idle_j"] is None
    assert row["rail_watts"] == {} and row["samples"] == MIN_SAMPLES - 1


def test_each_engine_has_a_window_and_every_sample_its_turn():
    seen = {"dense": [0, 0], "gated": [0, 0]}

    def call(name, sample, seconds):
        def run():
            seen[name][sample] += 1
            time.sleep(seconds)

        return run

    calls = {name: [call(name, index, seconds) for index in range(2)] for name, seconds in
             (("dense", 0.004), ("gated", 0.001))}  # fmt: skip
    power = iter(range(10**6))
    windows = energy_windows(calls, meter(lambda: {"VDD_IN": float(next(power))}), 0.15, batch=3, interval_s=0.005)
    assert list(windows) == [None, "dense", "gated"] and windows[None].inferences == 0
    for name, counts in seen.items():
        assert sum(counts) == windows[name].calls + 2 and abs(counts[0] - counts[1]) <= 1
        assert windows[name].inferences == 3 * windows[name].calls
        assert 0.15 <= windows[name].trace.window_s < 0.5
    assert windows["dense"].trace.values[0]["VDD_IN"] > windows[None].trace.values[-1]["VDD_IN"], "windows follow"


def test_the_block_names_rail_and_window():
    found = block(meter(note="also the fan"), {None: window(4.0, calls=0), "dense": window(8.0), "gated": window(6.0)})
    json.dumps(found, allow_nan=False)
    assert (found["meter"], found["total"], found["missing"]) == ("double", "VDD_IN", None)
    assert found["idle"]["watts"] == 4.0 and found["idle"]["inference_j"] is None
    assert found["variants"]["gated"]["inference_j"] == pytest.approx(0.12)
    lines = energy_lines({"energy": found}, lambda profile, name: name)
    assert lines[1] == (
        "energy of gated: 120.000 mJ per inference, 40.000 mJ above idle (VDD_IN by double, 6.00 W over 4.0 s, 20 "
        "samples)"
    )
    assert lines[-1] == "energy: also the fan"


def test_what_is_missing_is_said():
    found = block(meter(), {None: window(4.0), "dense": window(8.0, samples=5)})
    assert "double gave 5 samples of the total in a window, expected 20 or more" in found["missing"]
    assert energy_lines({"energy": found}, lambda profile, name: name) == [f"energy: {found['missing']}"]
    assert energy_lines({"energy": {"meter": None, "missing": "no rail"}}, str) == ["energy: no rail"]
    assert energy_lines({"energy": None}, str) == [] and energy_lines({}, str) == []
