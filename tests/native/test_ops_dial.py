"""The threshold of a gate as an input: against the function body, against the attribute, and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.native import op_models as models
from tests.native import qlinear_models as qlinear

ISAS = models.usable_isas()


def saliencies(case: models.GateCase) -> np.ndarray:
    """What the gate compares, from its function body with everything open."""
    shown = models.GateCase({"threshold": -1.0, "k": 0}, case.constants, {**case.feeds})
    shown.feeds["mask"] = np.ones_like(case.feeds["mask"])
    return models.session(shown.model(), accelerated=False).run(None, shown.feeds)[0]


def some_threshold(case: models.GateCase, rng: np.random.Generator) -> float:
    """Between two saliencies that rounding cannot exchange, so that both sides must decide alike."""
    values = np.unique(saliencies(case))
    gaps = np.diff(values)
    wide = np.flatnonzero(gaps > 1e-3 * max(float(values.max()), 1.0))
    at = int(rng.choice(wide)) if len(wide) else len(values) - 1
    return float(np.float32(values[at] + (gaps[at] / 2 if len(wide) else 1.0)))


def runs(case: models.GateCase, **session) -> list[np.ndarray]:
    return models.session(case.model(), **session).run(None, case.feeds)


@pytest.mark.parametrize("isa", ISAS)
def test_equals_its_function(isa):
    closed = 0
    for seed in range(40):
        rng = np.random.default_rng([seed, 5])
        plain = models.random_gate(rng)
        case = plain.turned(some_threshold(plain, rng))
        expected, got = runs(case, accelerated=False), runs(case, isa=isa)
        np.testing.assert_array_equal(got[0] != 0, expected[0] != 0, err_msg=f"seed {seed}")
        closed += int(((runs(plain)[0] != 0) & (got[0] == 0)).sum())
        for a, b in zip(got, expected):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4, err_msg=f"seed {seed}")
    assert closed > 100, "the thresholds close nothing"


def bits(values: list[np.ndarray]) -> list[list]:
    return [value.view(np.int32).tolist() for value in values]


def test_is_the_attribute_bit_for_bit_on_every_instruction_set():
    for seed in range(40):
        rng = np.random.default_rng([seed, 6])
        plain = models.random_gate(rng)
        threshold = float(np.float32(rng.uniform(0, 3)))
        own = models.GateCase({**plain.attributes, "threshold": threshold}, plain.constants, plain.feeds)
        results = [bits(runs(plain.turned(threshold), isa=isa)) for isa in ISAS]
        assert results == [bits(runs(own))] * len(ISAS), f"seed {seed}"


@pytest.mark.parametrize("isa", ISAS)
def test_on_bytes(isa):
    for seed in range(20):
        case = qlinear.random_gate(seed)
        plain = case.run(isa=isa)
        level = float(np.float32(np.median(plain[0])))
        own = qlinear.QLinearCase(case.op, {**case.attributes, "threshold": level}, case.values, case.outputs)
        values = {**case.values, "threshold": np.array([level], np.float32)}
        turned = qlinear.QLinearCase(case.op, case.attributes, values, case.outputs)
        assert bits(turned.run(isa=isa)) == bits(own.run(isa=isa)), f"seed {seed}"
        expected = turned.run(accelerated=False)
        away = np.abs(plain[0] - level) > 1e-4 * max(level, 1.0)
        np.testing.assert_array_equal((turned.run(isa=isa)[0] != 0)[away], (expected[0] != 0)[away])


def test_a_default_is_used_where_nothing_is_fed():
    """As in a bundle: an initializer that is an input too."""
    plain = models.random_gate(np.random.default_rng(3))
    case = plain.turned(0.25)
    model = onnx.load_from_string(case.model())
    default = helper.make_tensor("threshold", onnx.TensorProto.FLOAT, [1], [0.25])
    model.graph.initializer.append(default)
    for accelerated in (True, False):
        session = models.session(model.SerializeToString(), accelerated)
        assert [item.name for item in session.get_overridable_initializers()] == ["threshold"]
        given = {**plain.feeds, "threshold": np.array([2.0], np.float32)}
        assert bits(session.run(None, plain.feeds)) == bits(runs(case, accelerated=accelerated))
        assert bits(session.run(None, given)) == bits(runs(plain.turned(2.0), accelerated=accelerated))


@pytest.mark.parametrize(
    "value, words",
    [(np.zeros((2, 3), np.float32), "input 'threshold' has shape [2, 3]"), (np.array([np.nan], np.float32), "is NaN")],
)
def test_what_is_refused(value, words):
    case = models.random_gate(np.random.default_rng(4)).turned(0.5)
    model = onnx.load_from_string(case.model())
    del model.functions[:]
    with pytest.raises(Exception, match=words.replace("[", r"\[")) as error:
        models.session(model.SerializeToString()).run(None, {**case.feeds, "threshold": value})
    assert "expected" in str(error.value)
