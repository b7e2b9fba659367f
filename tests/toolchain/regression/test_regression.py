"""A slower or less accurate network fails, noise does not, and unequal conditions are not compared."""

from __future__ import annotations

import copy
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from sanp.pipeline.regression import checks_of_profile, checks_of_validation, read_baseline, write_junit
from sanp.regression.check import Check, require_passed
from sanp.regression.junit import junit_xml
from sanp.regression.profiles import profile_checks
from sanp.regression.validations import score_checks
from sanp.settings.profile import ProfileSettings
from sanp.settings.validate import ValidateSettings
from sanp_targets.errors import ConfigError, InputError, MeasurementError, ValidationError

SAMPLES = 8


def profile(slower=1.0, machine=1.0, noise=0.02, rounds=40, seed=0, **changes):
    """What `sanp profile` could have found: gated is `slower` than it should be, on a machine that is too."""
    generator = np.random.default_rng(seed)

    def latencies(ms):
        return ms * machine * np.linspace(1, 2, SAMPLES) * (1 + generator.gamma(2, noise / 2, (rounds, SAMPLES)))

    values = {"dense": latencies(2.0), "gated": latencies(1.0 * slower)}
    typical = {name: float(np.median(rows, 0).mean()) for name, rows in values.items()}
    found = {
        "bundle": {"name": "net", "dataset": "digits"},
        "variants": {
            name: {"latency": {"values": rows.ravel().tolist()}, "typical_ms": typical[name]}
            for name, rows in values.items()
        },
        "main": "gated",
        "baseline": "dense",
        "samples": [{}] * SAMPLES,
        "ratios": {"measured": typical["dense"] / typical["gated"]},
        "validity": {"verdict": "VALID", "reasons": []},
        "settings": {"threads": 1, "batch": 1, "samples": SAMPLES},
        "device_id": "abc",
        "device": {"power_mode": None, "cpu_limit": None, "governor": "performance", "gpu_governor": {}},
        "controls": {"clocks_fixed_by": None, "not_restored": []},
        "library": {"isa": "avx2"},
        "elapsed_s": 2.5,
        "in_turns": True,
    }
    for path, value in changes.items():
        *parts, key = path.split("__")
        place = found
        for part in parts:
            place = place[part]
        place[key] = value
    return found


@pytest.mark.parametrize("quantity", ["latency", "speed-up"])
def test_a_slower_network_fails_and_the_same_passes(quantity):
    before = profile()
    assert profile_checks(profile(seed=1), before, 0.05, quantity)[0].passed
    assert profile_checks(profile(slower=1.03, seed=2), before, 0.05, quantity)[0].passed
    worse = profile_checks(profile(slower=1.2, seed=3), before, 0.05, quantity)[0]
    assert not worse.passed and "worse" in worse.message and quantity in worse.message
    better = profile_checks(profile(slower=0.8, seed=4), before, 0.05, quantity)[0]
    assert better.passed and "better" in better.message


def test_a_slower_machine_is_a_regression_of_latency_alone():
    before, now = profile(), profile(machine=1.2, seed=1)
    assert not profile_checks(now, before, 0.05, "latency")[0].passed
    assert profile_checks(now, before, 0.05, "speed-up")[0].passed


def test_noise_is_no_regression():
    """Runs of one network on a restless machine: a limit of nothing at all may fail about 1 in 40, not half of them."""
    before = profile(noise=0.5, seed=100)
    failed = sum(not profile_checks(profile(noise=0.5, seed=seed), before, 0.0)[0].passed for seed in range(40))
    assert failed <= 8, failed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device_id": "other"}, "device is 'other', expected 'abc'"),
        ({"device__power_mode": "15W"}, "power mode"),
        ({"device__cpu_limit": 0.2}, "limit of processors"),
        ({"device__governor": "powersave"}, "governor"),
        ({"controls__clocks_fixed_by": "jetson_clocks"}, "way of fixing clocks"),
        ({"device__gpu_governor": {"17000000.gpu": {"governor": "nvhost_podgov"}}}, "governor of the GPU"),
        ({"library__isa": "avx512"}, "instruction set"),
        ({"settings__threads": 2}, "threads"),
        ({"settings__batch": 4}, "batch"),
        ({"settings__budget": 0.7}, "budget is 0.7, expected None"),
        ({"settings__samples": 9}, "samples"),
        ({"bundle__dataset": "mixcues"}, "data set"),
    ],
)
def test_unequal_conditions_are_not_compared(changes, words):
    with pytest.raises(InputError, match=words):
        profile_checks(profile(**changes), profile(), 0.05)


def test_what_cannot_be_judged_is_said():
    with pytest.raises(MeasurementError, match="baseline is NOISY"):
        profile_checks(profile(), profile(validity__verdict="NOISY"), 0.05)
    with pytest.raises(MeasurementError, match="3 rounds"):
        profile_checks(profile(rounds=3), profile(), 0.05)
    with pytest.raises(InputError, match="compare the latency"):
        profile_checks(profile(ratios=None), profile(), 0.05, "speed-up")


def test_a_measurement_that_may_not_be_quoted_is_not_compared():
    now = profile(slower=2.0, validity={"verdict": "NOISY", "reasons": ["busy"]})
    checks = checks_of_profile(now, profile(), ProfileSettings())
    assert [(row.name, row.passed) for row in checks] == [("verdict", False)]
    allowed = checks_of_profile(now, profile(), ProfileSettings(allow_invalid=True))
    assert [(row.name, row.passed) for row in allowed] == [("verdict", True), ("latency", False)]


def test_accuracy_against_a_baseline(results):
    now = results["validation"]
    settings = ValidateSettings()
    names = ["L0 replay", "L1 gates", "L2 task"]
    assert [row.name for row in checks_of_validation(now, None, settings)] == names
    before = copy.deepcopy(now)
    assert [row.name for row in checks_of_validation(now, before, settings)] == [*names, "accuracy"]
    wrong = {"budget": 0.7, "passed": False, "summary": "3 decisions not explained by rounding"}
    with_budget = checks_of_validation({**now, "budgets": [wrong]}, None, settings)
    assert [(row.name, row.passed) for row in with_budget[3:]] == [("budget 0.7", False)]
    before["L2"]["accuracy"] = now["L2"]["accuracy"] + 0.02
    assert not score_checks(now, before, 0.005)[0].passed and score_checks(now, before, 0.02)[0].passed
    failing = copy.deepcopy(now)
    failing["L1"]["passed"] = False
    assert [row.passed for row in checks_of_validation(failing, None, settings)] == [True, False, True]
    with pytest.raises(InputError, match="samples"):
        score_checks(now, {**before, "samples": 1}, 0.005)
    with pytest.raises(InputError, match="kind of level 2"):
        score_checks(now, {**before, "L2": {"kind": "agreement"}}, 0.005)


def test_a_failure_is_an_error_that_names_the_baseline():
    require_passed([Check("latency", True, "fine")], "old.json")
    with pytest.raises(ValidationError, match=r"slower by half.*old\.json"):
        require_passed([Check("latency", False, "slower by half")], "old.json")


def test_junit_holds_every_check_and_nothing_that_xml_forbids():
    text = junit_xml(
        "sanp profile", "n\x00et <&>", [Check("a", True, "fine"), Check("b", False, 'bad \x1b[1m <&">')], 2.5
    )
    root = ElementTree.fromstring(text)
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("2", "1", "2.500")
    first, second = suite
    assert first.get("classname") == "sanp profile.n?et <&>" and first.find("system-out").text == "fine"
    assert second.find("failure").get("message") == 'bad ?[1m <&">' and first.find("failure") is None


def test_files_are_checked_before_the_work(tmp_path, results):
    path = tmp_path / "before.json"
    path.write_text(json.dumps(results["profile"]))
    assert read_baseline("profile", ProfileSettings(baseline=path)) == results["profile"]
    with pytest.raises(InputError, match="kind 'validation'"):
        read_baseline("validation", ValidateSettings(baseline=path))
    with pytest.raises(InputError, match="cannot be read"):
        read_baseline("profile", ProfileSettings(baseline=tmp_path / "none.json"))
    with pytest.raises(ConfigError, match="exists"):
        read_baseline("profile", ProfileSettings(junit=path))
    write_junit("profile", profile(), [Check("latency", True, "fine")], tmp_path / "out.xml")
    assert b'name="latency"' in (tmp_path / "out.xml").read_bytes()


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), (" 2.5 %", 0.025), (0.1, 0.1), ("0.5%", 0.005)])
def test_a_share_may_be_written_in_percent(text, value):
    assert ProfileSettings.checked(max_regression=text).max_regression == pytest.approx(value)


@pytest.mark.parametrize("text", ["5 percent", "%", "-5%", "five"])
def test_other_words_are_no_share(text):
    with pytest.raises(ConfigError, match="max_regression"):
        ProfileSettings.checked(max_regression=text)


def test_engines_in_processes_of_their_own_are_compared_without_an_interval():
    """trtexec: rounds of two engines are no pairs, and a process differs from the next by more than its calls do."""
    before = profile(in_turns=False, rounds=3)
    better, worse = (profile(slower=by, in_turns=False, rounds=3, seed=1) for by in (1.02, 1.2))
    assert profile_checks(better, before, 0.05)[0].passed
    check = profile_checks(worse, before, 0.05)[0]
    assert not check.passed and "no interval" in check.message


def test_what_cannot_be_compared_is_a_failed_case_and_then_the_error():
    checks = checks_of_profile(profile(device_id="other"), profile(), ProfileSettings())
    assert [(row.name, row.passed) for row in checks] == [("verdict", True), ("latency", False)]
    assert b'failures="1"' in junit_xml("sanp profile", "net", checks)
    with pytest.raises(InputError, match="device is 'other'"):
        require_passed(checks, "old.json")


def test_agreement_has_no_score_to_compare(results):
    now = results["validation"]
    now["L2"] = {"kind": "agreement", "passed": True, "summary": "fine"}
    checks = checks_of_validation(now, copy.deepcopy(now), ValidateSettings())
    assert not checks[-1].passed and "has no score" in checks[-1].message
    with pytest.raises(InputError, match="--metric"):
        require_passed(checks, "old.json")
