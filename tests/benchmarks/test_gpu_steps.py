"""The stage that times training steps compares like with like: same steps both ways before anything is timed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.gpu.stages import steps
from benchmarks.gpu.training_steps import StepTimes
from benchmarks.gpu.visit import summary
from benchmarks.gpu.visit.record import Record


@pytest.fixture
def visit(tmp_path, monkeypatch):
    """A GPU whose measurements are played: (place, record, the arguments of every measurement, losses by way)."""
    asked, losses = [], {False: (2.5, 2.25), True: (2.5, 2.25)}

    def measure(settings, count, epochs):
        asked.append((settings, count, epochs))
        return StepTimes(settings.precision, 256, 0.01, 0.015, losses[settings.cuda_graph])

    monkeypatch.setattr(steps, "measure", measure)
    place = SimpleNamespace(pick=lambda full, small: full, rehearsal=False, device="cuda", output=tmp_path)
    return SimpleNamespace(
        place=place, record=Record(tmp_path / "steps.json", "steps", 100, {}), asked=asked, losses=losses
    )


def test_agreement_is_of_the_same_steps_and_comes_first(visit):
    visit.losses[True] = (2.5, 2.2455)
    steps.run(visit.place, visit.record)
    (python, first, epochs), (graph, second, others) = visit.asked[:2]
    assert (first, epochs) == (second, others)
    assert python.model_copy(update={"cuda_graph": True}) == graph
    assert python.precision == "float32"
    assert max(python.lr, python.options["joint_lr"]) <= 0.001, "training would multiply differences of rounding"
    assert visit.record.numbers["agreement"]["difference"] == pytest.approx(0.002)
    rows = visit.record.numbers["steps"]
    assert [(row["precision"], row["cuda_graph"]) for row in rows][:2] == [("bfloat16", False), ("bfloat16", True)]
    assert len(rows) == 6
    assert not any("losses" in row for row in rows), "epochs of different lengths must not look comparable"
    text = summary.text({"steps": {"status": "ok", "numbers": visit.record.numbers}}, False, {})
    assert "python 2.5, 2.25; graph 2.5, 2.2455, largest difference 2.0e-03" in text


@pytest.mark.parametrize("wrong", [(2.5, 2.0), (2.5, float("nan"))])
def test_losses_that_differ_are_a_failure_of_the_stage(visit, wrong):
    visit.losses[True] = wrong
    with pytest.raises(RuntimeError, match=r"1 of the steps failed, the first: .*losses differ by"):
        steps.run(visit.place, visit.record)
    assert len(visit.record.numbers["steps"]) == 6, "the times are measured all the same"


def test_epochs_of_other_numbers_are_not_compared():
    with pytest.raises(ValueError, match="zip"):
        steps.largest_difference((1.0, 2.0), (1.0,))
