"""The cost model in Python is that of the library, and its fit finds the constants that made the times."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gpu import cost_fit, cost_model
from benchmarks.gpu.cost_fit import Timed, choice, fit
from benchmarks.gpu.cost_model import Problem, constants, estimated_cycles
from benchmarks.gpu.cuda_library import FLOAT16, FLOAT32, HOPPER, ORIN, describe
from benchmarks.gpu.layer_measure import PLAN_FIELDS, conv_fields
from tests.native.cuda_cases import random_conv
from tests.native.cuda_emulated import build_emulated

LAYERS = [(64, 64, 56, 3), (128, 128, 28, 3), (256, 256, 14, 3), (512, 512, 7, 3), (256, 64, 56, 1), (1024, 256, 14, 1),
          (2048, 512, 7, 1), (96, 48, 20, 3), (320, 64, 9, 3)]  # fmt: skip


@pytest.fixture(scope="module")
def library():
    return build_emulated()


def problems(library, conv, device):
    for plan in library.candidates(conv, device):
        sizes = {name: getattr(plan, name) for name in PLAN_FIELDS}
        yield Problem(conv_fields(conv), {"algorithm": library.algorithm(plan), **sizes}, device.sm_count)


@pytest.mark.parametrize("device", [ORIN, HOPPER], ids=["orin", "hopper"])
@pytest.mark.parametrize("element", [FLOAT16, FLOAT32], ids=["float16", "float32"])
def test_it_ranks_as_the_library_does(library, device, element):
    rng = np.random.default_rng(element)
    convs = [random_conv(rng, element) for _ in range(60)]
    convs += [describe(*layer[:3], kernel=layer[3], type=element, batch=batch) for layer in LAYERS for batch in (1, 8)]
    several = 0
    for conv in convs:
        costs = [estimated_cycles(problem, constants()) for problem in problems(library, conv, device)]
        assert costs == pytest.approx(sorted(costs), rel=1e-12), conv
        several += len(set(costs)) > 2
    assert several > 20


def timed(library, k, noise=0.0):
    rng, rows = np.random.default_rng(0), []
    for c_in, c_out, size, kernel in LAYERS:
        for batch in (1, 8):
            conv = describe(c_in, c_out, size, kernel=kernel, type=FLOAT16, batch=batch)
            for problem in problems(library, conv, HOPPER):
                us = cost_fit.predicted_us(Timed("", problem, 1.0), k, 1980.0) * float(np.exp(noise * rng.normal()))
                rows.append(Timed(f"{c_in}-{c_out} {kernel} @{size}, batch {batch}", problem, us))
    return rows


def test_the_fit_finds_the_constants_that_made_the_times(library):
    true = constants() | {"launch_us": 3.0, "kStepLatency": 420.0, "kIssuePerCycle": 100.0, "products_per_cycle": 700.0,
                          "kLaunchCycles": 5000.0, "kBlockCycles": 2600.0}  # fmt: skip
    rows = [row for row in timed(library, true, noise=0.02) if row.problem.plan["algorithm"] != "simt"]
    found = fit(rows, 1980.0)
    assert found.today_error > 0.1
    assert found.fitted_error == pytest.approx(0.02, rel=0.2)
    for name in ("launch_us", "kStepLatency", "kIssuePerCycle", "products_per_cycle", "kLaunchCycles"):
        assert found.fitted[name] == pytest.approx(true[name], rel=0.25), name
    assert found.fitted["fma_per_cycle"] == pytest.approx(128, rel=0.01), "what no row depends on stays"
    assert found.fitted_choice.mean <= found.today_choice.mean
    assert found.fitted_choice.mean < 1.03


def test_a_bad_choice_is_told(library):
    rows = timed(library, constants() | {"launch_us": 2.0})[:8]
    chosen = min(rows, key=lambda row: estimated_cycles(row.problem, constants()))
    worse = [
        Timed(row.shape, row.problem, 30.0 if row is chosen else 10.0) for row in rows if row.shape == chosen.shape
    ]
    found = choice(worse, constants())
    assert (found.mean, found.worst, found.worst_shape) == (pytest.approx(3.0), 3.0, chosen.shape)


def test_too_few_times_are_refused(library):
    with pytest.raises(ValueError, match="5 timed plans, expected at least 12"):
        fit(timed(library, constants() | {"launch_us": 2.0})[:5], 1980.0)


def test_constants_come_from_the_source(monkeypatch, tmp_path):
    assert constants()["kSharedPerSm"] == 96 * 1024
    changed = tmp_path / "cost.cc"
    changed.write_text(cost_model.SOURCE.read_text().replace("kBlockCycles = 1500", "kOther = 1500"))
    monkeypatch.setattr(cost_model, "SOURCE", changed)
    with pytest.raises(ValueError, match=r"cost\.cc has no constant kBlockCycles"):
        constants()
