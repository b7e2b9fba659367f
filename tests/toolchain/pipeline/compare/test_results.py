"""Numbers and pictures of a comparison, from rows that are written by hand."""

import xml.dom.minidom

import pytest

from sanp.pipeline.compare.results import points, spread
from sanp.report.comparison import files, page, plot
from sanp.settings.compare import CompareSettings


def row(label, budget, seed, accuracy, cost, p50=None, **more):
    base = dict.fromkeys(
        ("error", "start_accuracy", "over_budget", "seconds", "options", "validated", "failed_levels",
         "engine_accuracy", "p90_ms", "typical_ms", "baseline_p50_ms", "speed_up", "verdict", "latency_budget",
         "predicted_ms")
    )  # fmt: skip
    own = {"label": label, "budget": budget, "seed": seed, "accuracy": accuracy, "cost": cost, "p50_ms": p50}
    return {**base, "folder": f"cells/{label}-{seed}", **own, **more}


TABLE = [
    row("dense", None, 0, 0.90, 1.0, 2.0), row("dense", None, 1, 0.94, 1.0, 2.0),
    row("good", 0.5, 0, 0.89, 0.5, 1.0), row("good", 0.5, 1, 0.91, 0.5, 1.2),
    row("slow", 0.5, 0, 0.88, 0.4, 3.0), row("slow", 0.5, 1, 0.88, 0.4, 3.2),
    row("bad", 0.5, 0, 0.80, 0.6, 1.5), row("bad", 0.5, 1, 0.90, 0.6, 1.5),
]  # fmt: skip


def test_points_over_the_seeds():
    found = {point["label"]: point for point in points(TABLE, "dense")}
    assert found["good"]["accuracy"] == pytest.approx({"mean": 0.9, "sd": 0.02 / 2**0.5, "min": 0.89, "max": 0.91})
    assert found["good"]["minus_reference"] == pytest.approx({0: -0.01, 1: -0.03})
    assert found["dense"]["p50_ms"]["sd"] == 0 and found["dense"]["minus_reference"] == {0: 0, 1: 0}


def test_dominated_by_work_and_by_time():
    found = {point["label"]: (point["dominated_macs"], point["dominated_ms"]) for point in points(TABLE, "dense")}
    assert found == {
        "dense": (False, False),  # the most accurate
        "good": (False, False),
        "slow": (False, True),  # the cheapest in MACs, and slower than all
        "bad": (True, True),
    }


def test_equal_points_do_not_dominate_each_other():
    found = points([row("a", 0.5, 0, 0.9, 0.5), row("b", 0.5, 0, 0.9, 0.5)], None)
    assert [point["dominated_macs"] for point in found] == [False, False]


def test_what_was_not_measured_is_not_judged():
    table = [row("a", 0.5, 0, 0.9, 0.5, 1.0), row("a", 0.5, 1, 0.9, 0.5), row("b", 0.5, 0, None, None)]
    found = points(table, None)
    assert [point["label"] for point in found] == ["a"], "a run that is not trained is no point"
    assert found[0]["dominated_ms"] is None and found[0]["p50_ms"] is None
    assert found[0]["dominated_macs"] is False and spread([]) is None


def result(table, reference="dense"):
    settings = CompareSettings.checked(methods="dense sanp").model_dump(mode="json")
    return {"settings": settings, "reference": reference, "points": points(table, reference), "rows": table}


def test_the_page_and_its_plots():
    table = [*TABLE, row("lost", 0.5, 0, None, None, error="its loss is not finite")]
    made = files(result(table))
    assert [path.name for path in made] == ["pareto-macs.svg", "pareto-latency.svg", "comparison.md"]
    for path, content in made.items():
        if path.suffix == ".svg":
            document = xml.dom.minidom.parseString(content)
            height = float(document.documentElement.getAttribute("viewBox").split()[3])
            marks = document.getElementsByTagName("circle")
            assert len(marks) == 8, "four points and four names"
            assert all(0 < float(mark.getAttribute("cy")) < height for mark in marks)
            hollow = [mark for mark in marks if mark.getAttribute("fill") == "#ffffff"]
            assert len(hollow) == (1 if "macs" in path.name else 2)
    text = made[list(made)[-1]].decode()
    assert "| good | 50 | 50.0 | 90.0 (89.0 to 91.0) | -1.0, -3.0 |" in text
    assert "its loss is not finite" in text and "pareto-latency.svg" in text


def test_without_latencies_there_is_one_plot():
    made = result([row("dense", None, 0, 0.9, 1.0), row("a", 0.5, 0, 0.8, 0.5)])
    assert plot(made["points"], "p50_ms") is None
    assert [path.name for path in files(made)] == ["pareto-macs.svg", "comparison.md"]
    assert "pareto-latency" not in page(made, ["pareto-macs.svg"])


def test_a_time_is_compared_at_equal_measured_time():
    """Between two budgets of MACs the accuracy is interpolated by time; outside of them nothing is said."""
    timed = {"latency_budget": "1.5ms", "predicted_ms": 1.45}
    table = [
        row("sanp", 0.3, 0, 0.80, 0.3, 1.0, typical_ms=1.0), row("sanp", 0.5, 0, 0.90, 0.5, 2.0, typical_ms=2.0),
        row("sanp", 0.3, 1, 0.80, 0.3, 1.0, typical_ms=1.6), row("sanp", 0.5, 1, 0.90, 0.5, 2.0, typical_ms=2.0),
        row("sanp", None, 0, 0.86, 0.45, 1.5, typical_ms=1.5, **timed),
        row("sanp", None, 1, 0.99, 0.45, 1.5, typical_ms=1.5, **timed),
        row("static", 0.5, 0, 0.10, 0.5, 1.5, typical_ms=1.5),
    ]  # fmt: skip
    found = {(point["label"], point["budget"], point["latency_budget"]): point for point in points(table, None)}
    assert found["sanp", None, "1.5ms"]["minus_macs"] == {0: pytest.approx(0.01)}
    assert found["sanp", 0.3, None]["minus_macs"] == {} and len(found) == 4
    text = page(result(table, None), [])
    assert (
        "## Trained for a time" in text
        and "| sanp | 1.5ms | 1.4500 | 1.5000 | 45.0 | 92.5 (86.0 to 99.0) | +1.0 |" in text
    )
    assert "Trained for a time" not in page(result(TABLE), [])
