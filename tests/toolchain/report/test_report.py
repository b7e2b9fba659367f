"""The report: one file, nothing fetched, nothing injected, honest in every case."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from sanp.report import write_report
from sanp.report.numbers import macs, ms, percent
from sanp.report.sections.summary import break_even, headline
from sanp.report.svg import Plot, ticks
from sanp_runtime.profile.text import profile_lines, stall_lines
from sanp_targets.errors import ConfigError, InputError

_VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Collects tags and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(results, folder) -> str:
    return write_report(results, folder).read_text(encoding="utf-8")


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert parser.open == [], "every element is closed"
    return parser


def test_report_is_one_self_contained_page(results, tmp_path):
    path = write_report(results, tmp_path / "new" / "folder")
    assert path.name == "report.html" and sorted(item.name for item in path.parent.iterdir()) == [
        "layers.csv",
        "report.html",
        "report.json",
        "samples.csv",
        "variants.csv",
    ]
    page = path.read_text(encoding="utf-8")
    found = outline(page)
    assert found.seen.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "form"})
    assert not [name for name, _ in found.attributes if name in ("src", "href", "srcset") or name.startswith("on")]
    assert "@import" not in page and "url(" not in page and "http" not in page
    assert "prefers-color-scheme: dark" in page
    assert json.loads((path.parent / "report.json").read_text()) == results


def test_every_part_is_there(results, tmp_path):
    page = page_of(results, tmp_path)
    for words in ("L0 replay", "L1 gates", "L2 task", "Proof of acceleration", "block.a", "sanp profile"):
        assert words in page, words
    assert results["profile"]["validity"]["verdict"] in page
    assert results["profile"]["bundle"]["digest"] in page
    for reason in results["profile"]["validity"]["reasons"]:
        assert reason.split(" (")[0] in page
    assert page.count("<svg") >= 3


def test_names_are_escaped(results, tmp_path):
    evil = "<script>alert(1)</script>"
    results["bundle"]["name"] = results["bundle"]["dataset"] = evil
    results["profile"]["layers"][0]["name"] = evil
    results["profile"]["device_name"] = f'"{evil}'
    results["profile"]["validity"]["reasons"].append(evil)
    results["validation"]["L1"]["summary"] = evil
    page = page_of(results, tmp_path)
    assert "<script" not in page and "&lt;script&gt;" in page
    outline(page)


def test_nothing_but_a_profile(results, tmp_path):
    results["validation"] = results["training"] = None
    page = page_of(results, tmp_path)
    assert "nobody has compared" in page and "<h2>Training</h2>" not in page
    outline(page)


def test_failures_are_shown(results, tmp_path):
    results["validation"]["L1"].update(passed=False, summary="1 not explained by rounding; first in block.a")
    results["validation"]["L1"]["listed"] = [
        {
            "sample": 1,
            "layer": "block.a",
            "channel": 2,
            "opened": True,
            "margin": None,
            "tolerance": 0.0,
            "kind": "mismatch",
        }
    ]
    results["profile"]["validity"]["verdict"] = "THROTTLED"
    page = page_of(results, tmp_path)
    assert "FAIL" in page and "mismatch" in page and "do not quote" in page


@pytest.mark.parametrize(
    ("speed", "words"),
    [(2.04, "2.04× faster than"), (1.01, "No faster than"), (0.5, "2.00× slower than")],
)
def test_headline_is_honest(results, speed, words):
    results["profile"]["ratios"]["measured"] = speed
    assert headline(results["profile"]).startswith(words)


def test_break_even(results):
    profile = results["profile"]
    profile["ratios"]["theoretical"] = 4.0

    def sentence(dense, opened, gated):
        for name, value in (("dense", dense), ("open", opened), ("gated", gated)):
            profile["variants"][name]["typical_ms"] = value
        return break_even(profile)

    assert "below about 75%" in sentence(1.0, 1.2, 0.6)
    assert "even with every gate open" in sentence(1.0, 0.9, 0.5)
    assert "no share" in sentence(0.1, 1.2, 1.0)
    assert sentence(1.0, 1.2, 1.3) is None


def test_equal_costs_and_missing_layer_times(results, tmp_path):
    for row in results["profile"]["samples"]:
        row["macs"] = 1000.0
    results["profile"]["correlation"] = None
    for row in results["profile"]["layers"]:
        row.update(dense_ms=None, open_ms=None, gated_ms=None)
        row["varies"] = False if row["gated"] else None
    page = page_of(results, tmp_path)
    assert "statically pruned" in page
    outline(page)
    results["profile"]["layers"][0]["varies"] = True
    assert "although different channels are open" in page_of(results, tmp_path)


def test_rare_long_stalls_are_shown(results, tmp_path):
    quiet = {"factor": 5.0, "calls": 100, "count": 0, "longest_ms": None, "lost_ms": 0.0, "lost_share": 0.0}
    results["profile"]["stalls"] = {name: dict(quiet) for name in results["profile"]["variants"]}
    assert stall_lines(results["profile"]) == []
    results["profile"]["stalls"]["gated"].update(count=2, longest_ms=95.0, lost_ms=173.0, lost_share=0.638)
    words = (
        "gated: 2 of 100 calls took more than 5 times their median, the longest 95.000 ms; 173.0 ms lost, 63.8% of its "
        "time"
    )
    assert stall_lines(results["profile"]) == [words] and words in profile_lines(results["profile"])
    assert words in page_of(results, tmp_path)


def test_one_sample_and_one_call(results, tmp_path):
    profile = results["profile"]
    profile["samples"] = profile["samples"][:1]
    for engine in profile["variants"].values():
        engine["latency"].update(values=[0.5], count=1, p50=0.5, p90=0.5, p95=0.5, min=0.5, max=0.5, stdev=None)
    outline(page_of(results, tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        lambda results: results.update(profile=None),
        lambda results: results.update(profile=[]),
        lambda results: results.update(bundle=None),
        lambda results: results["profile"].update(kind="training"),
        lambda results: results["profile"].update(schema_version=1),
        lambda results: results["validation"].update(schema_version=1),
        lambda results: results["validation"].pop("schema_version"),
        lambda results: results["profile"].pop("ratios"),
        lambda results: results["profile"]["variants"].pop("open"),
        lambda results: results["profile"]["validity"].update(verdict="GREAT"),
        lambda results: results["profile"]["ratios"].update(measured=float("nan")),
        lambda results: results["profile"]["ratios"].update(measured="fast"),
        lambda results: results["profile"].update(layers=[]),
        lambda results: results["validation"].pop("L1"),
        lambda results: results["profile"].update(samples=[]),
        lambda results: results["profile"].update(variants={}),
        lambda results: results["profile"]["variants"]["gated"]["latency"].update(values=[]),
        lambda results: results.update(profile={"kind": "profile", "schema_version": 2}),
        lambda results: results.update(validation=results["profile"]),
        lambda results: results.update(profile=results["validation"]),
        lambda results: results.update(training=results["profile"]),
        lambda results: results.update(training=results["validation"]),
        lambda results: results.update(training={"hello": 1}),
        lambda results: results["training"].update(cost=float("nan")),
        lambda results: results["training"].update(accuracy="high"),
        lambda results: results["training"].update(config=[1]),
    ],
)
def test_results_of_something_else(results, tmp_path, change):
    change(results)
    with pytest.raises(InputError):
        write_report(results, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "nothing half-written"


@pytest.mark.parametrize(("part", "cure"), [("profile", "measure the bundle with"), ("validation", "sanp validate")])
def test_results_of_an_older_version_say_what_to_do(results, tmp_path, part, cure):
    results[part]["schema_version"] = 1
    with pytest.raises(InputError, match=f"the {part} has schema version 1.*another version of the toolchain.*{cure}"):
        write_report(results, tmp_path / "out")


def test_unwritable_folder(results, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(results, tmp_path / "file")


def test_numbers():
    assert [ms(value) for value in (None, 0.01234, 1.234, 12.34, 1234.5)] == ["–", "0.012", "1.23", "12.3", "1234"]
    assert [macs(value) for value in (12, 1234, 25_216_256, 5.55e9)] == ["12", "1.23 k", "25.2 M", "5.55 G"]
    assert percent(None) == "–" and percent(0.123) == "12.3%"


@pytest.mark.parametrize("span", [(0, 1), (0.37, 0.3851), (14.9, 15.4), (0, 44e6), (-2, 8), (1e-9, 2e-9)])
def test_ticks(span):
    found = ticks(*span)
    assert 3 <= len(found) <= 12
    assert all(span[0] - 1e-9 <= value <= span[1] * 1.0001 + 1e-9 for value in found)
    assert ticks(1.0, 1.0) == [] == ticks(0, float("inf"))


def test_plot_escapes_its_labels():
    plot = Plot((0, 1), (0, 1), "<x>", '"y"', "<title>")
    plot.text(0.5, 0.5, "<b>")
    svg = plot.render()
    assert "<b>" not in svg and "<x>" not in svg
    assert re.fullmatch(r"<svg .*</svg>", svg)


def test_marks_tell_their_values(results, tmp_path):
    page = page_of(results, tmp_path)
    first = results["profile"]["samples"][0]
    assert f"sample 0: {first['macs'] / 1e6:.3g} million MACs, {ms(first['gated_ms'])} ms</title>" in page
    for variant in ("dense", "gated, as trained"):
        assert f"<title>{variant}: p50 " in page
    reached = re.findall(r'tabindex="0" role="img" aria-label="([^"]+)"', page)
    assert 4 <= len(reached) < 20, "ridges and variants, not every sample"


def test_the_gap_names_layers_causes_and_the_bound(results, tmp_path):
    row = results["profile"]["gap"]["layers"][0]
    row.update(cause="launch-bound", lost_ms=9.0, gate_ms=4.0, kernel_ms=-1.0, unscaled_ms=6.0)
    results["profile"]["gap"]["upper_bound_ms"] = {"typical": 12.3, "p99": None, "max": 45.6}
    page = page_of(results, tmp_path)
    assert "Where saved work was not saved time" in page and "little more than the call of a node" in page
    assert "gate +4.000, kernel -1.000, unscaled +6.000 ms" in page and "at most 45.6 ms was seen" in page
    results["profile"]["gap"] = None
    assert "Where saved work" not in page_of(results, tmp_path / "plain")


def test_the_interval_is_beside_the_speed_up(results, tmp_path):
    results["profile"]["ratios"]["measured_interval"] = [1.23, 4.56]
    assert "95 % interval 1.23 to 4.56" in page_of(results, tmp_path)
    assert "(95 % interval 1.23 to 4.56) the speed of dense" in "\n".join(profile_lines(results["profile"]))
    results["profile"]["ratios"]["measured_interval"] = None
    assert "95 % interval" not in page_of(results, tmp_path / "few")


def test_budgets_are_shown_as_measured_here_or_when_compiled(results, tmp_path):
    row = {"thresholds": {}, "rule": "as trained", "macs": 100.0, "score": 0.98, "same": 1.0, "typical_ms": 1.25}
    settings = [{"budget": 1.0, **row}, {"budget": 0.7, **row, "score": 0.915, "typical_ms": 0.875}]
    record = {"measure": "accuracy", "samples": 40, "held_back": True, "settings": settings}
    results["bundle"]["build"] = {**(results["bundle"].get("build") or {}), "budgets": record}
    results["profile"]["budgets"] = []
    page = page_of(results, tmp_path)
    assert "91.50%" in page and "0.875" in page and "of the machine that compiled" in page
    assert "<title>budget 0.7: 0.875 ms, accuracy 91.5 %</title>" in page
    results["profile"]["budgets"] = [{"budget": 0.7, "macs": 90.0, "score": 0.915, "typical_ms": 0.555}]
    page = page_of(results, tmp_path / "here")
    assert "0.555" in page and "of this profile, side by side" in page
    del results["bundle"]["build"]["budgets"]
    assert "what a call may cost" not in page_of(results, tmp_path / "none")


def test_energy_names_meter_rail_and_window(results, tmp_path):
    row = {
        "window_s": 2.0, "samples": 40, "calls": 100, "inferences": 100, "watts": 5.25,
        "rail_watts": {"VDD_IN": 5.25}, "inference_j": 0.0125, "above_idle_j": None,
    }  # fmt: skip
    energy = {
        "meter": "INA3221", "total": "VDD_IN", "note": None, "interval_s": 0.05, "min_samples": 10, "missing": None,
        "idle": None, "variants": {"gated": row},
    }  # fmt: skip
    results["profile"]["energy"] = energy
    page = page_of(results, tmp_path)
    for words in ("12.5", "VDD_IN 5.25 W", "2.0 s, 40 samples, 100 inferences", "VDD_IN by INA3221"):
        assert words in page, words
    results["profile"]["energy"] = {**energy, "meter": None, "missing": "no power rail can be read"}
    assert "Not measured: no power rail can be read" in page_of(results, tmp_path / "none")


def test_a_prediction_is_held_against_the_measurement(results, tmp_path):
    results["profile"]["prediction"] = {
        "table": {"bundle": "another net", "created": "2026-01-01", "device_id": "x"},
        "predicted_ms": 1.05, "measured_ms": 1.0, "error": 0.05,
        "samples": {"median": 0.04, "p90": 0.08, "largest": 0.11, "correlation": None},
    }  # fmt: skip
    page = page_of(results, tmp_path)
    assert "1.05 ms predicted against 1.00 ms measured (+5.0%)" in page and "another net" in page


def test_a_run_for_a_time_has_no_budget_of_macs(results):
    from sanp.report.sections import training

    latency = {"predicted_ms": 0.1137, "budget_ms": 0.115, "device_name": "a board"}
    results["training"] = {
        "accuracy": 0.9, "cost": 0.35, "latency": latency,
        "config": {"budget": 0.638, "budget_latency": "0.115ms", "table": "table.json"},
    }  # fmt: skip
    rows = dict(training.data(results)["training"])
    assert "budget" not in rows and rows["budget_latency"] == "0.115ms" and rows["cost"] == "35.00%"
    assert "0.11" in rows["predicted latency"] and "a board" in rows["predicted latency"]
