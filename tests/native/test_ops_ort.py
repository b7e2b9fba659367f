"""The operators inside ONNX Runtime against their own function bodies: same file, with and without the library."""

from __future__ import annotations

import threading

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.native import op_models as models

ISAS = models.usable_isas()


def assert_same(case: models.ConvCase, got: np.ndarray, seed: int) -> None:
    expected = models.session(case.model(), accelerated=False).run(None, case.feeds)[0]
    np.testing.assert_allclose(got, expected, rtol=0, atol=case.tolerance(), err_msg=f"seed {seed}: {case.attributes}")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2])
def test_gated_conv_equals_its_function(isa, threads):
    for seed in range(60):
        case = models.random_conv(np.random.default_rng([seed, threads]))
        assert_same(case, models.session(case.model(), True, threads, isa).run(None, case.feeds)[0], seed)


@pytest.mark.parametrize("isa", ISAS)
def test_large_layers_are_split_over_threads_without_changing_a_bit(isa):
    rng = np.random.default_rng(7)
    for ci, co, size, kernel, group in [(48, 64, 32, 3, 1), (128, 96, 8, 3, 1), (256, 512, 2, 3, 1), (64, 64, 28, 1, 1),
                                        (96, 96, 28, 3, 96)]:  # fmt: skip
        pad = kernel // 2
        weights = rng.standard_normal((co, ci // group, kernel, kernel)).astype(np.float32)
        mask = lambda *shape: (rng.random(shape) < 0.6).astype(np.float32)  # noqa: E731
        active, scale = mask(6, ci), mask(6, co)
        x = rng.standard_normal((6, ci, size, size)).astype(np.float32) * active[:, :, None, None]
        feeds = {"x": x, "scale": scale, "shift": scale * 0.5, "in_active": active, "residual": np.zeros(1, np.float32)}
        attributes = {"strides": [1, 1], "pads": [pad] * 4, "dilations": [1, 1], "group": group, "act_min": 0.0,
                      "act_max": float("inf")}  # fmt: skip
        case = models.ConvCase(attributes, weights, feeds)
        one, two = (models.session(case.model(), True, threads, isa) for threads in (1, 2))
        y = one.run(None, feeds)[0]
        assert_same(case, y, 7)
        np.testing.assert_array_equal(two.run(None, feeds)[0], y)
        # One sample alone takes another path through the pool than a batch.
        first = {k: v[:1] if v.shape[0] == 6 else v for k, v in feeds.items()}
        np.testing.assert_array_equal(two.run(None, first)[0], y[:1])


@pytest.mark.parametrize("isa", ISAS)
def test_channel_gate_equals_its_function(isa):
    for seed in range(60):
        case = models.random_gate(np.random.default_rng(seed))
        expected = models.session(case.model(), accelerated=False).run(None, case.feeds)
        got = models.session(case.model(), True, 1, isa).run(None, case.feeds)
        # A saliency within rounding of the level may fall on either side; none of these seeds has one.
        np.testing.assert_array_equal(got[0] != 0, expected[0] != 0, err_msg=f"seed {seed}")
        for a, b in zip(got, expected):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4, err_msg=f"seed {seed}")


def test_channel_gate_is_bit_identical_on_all_instruction_sets():
    for seed in range(60):
        case = models.random_gate(np.random.default_rng(1000 + seed))
        results = [models.session(case.model(), True, 1, isa).run(None, case.feeds) for isa in ISAS]
        for other in results[1:]:
            for a, b in zip(results[0], other):
                np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32), err_msg=f"seed {seed}")


def test_weights_may_be_run_time_inputs():
    case = models.random_conv(np.random.default_rng(3))
    got = models.session(case.model(weights_constant=False)).run(None, {**case.feeds, "w": case.weights})[0]
    assert_same(case, got, 3)


def test_empty_batch_gives_an_empty_result():
    case = models.random_conv(np.random.default_rng(4))
    shape = models.session(case.model()).run(None, case.feeds)[0].shape
    feeds = {k: (v[:0] if k == "x" else v[:1]) for k, v in case.feeds.items()}
    feeds["residual"] = np.zeros(1, np.float32)
    assert models.session(case.model()).run(None, feeds)[0].shape == (0, *shape[1:])
    gate = models.random_gate(np.random.default_rng(4))
    feeds = {"x": gate.feeds["x"][:0], "mask": gate.feeds["mask"][:1]}
    assert models.session(gate.model()).run(None, feeds)[0].shape[0] == 0


def test_one_session_serves_many_input_sizes():
    case = models.random_conv(np.random.default_rng(5))
    shapes = dict.fromkeys(models.CONV_INPUTS)
    free = models.model_bytes("SanpGatedConv", shapes, ("y",), {"w": case.weights}, models.gated_conv_function(),
                              **case.attributes)  # fmt: skip
    fast, slow = models.session(free), models.session(free, accelerated=False)
    rng = np.random.default_rng(6)
    for size in range(12, 40):  # more shapes than plans are kept
        x = rng.standard_normal((1, case.feeds["x"].shape[1], size, size + 1)).astype(np.float32)
        feeds = {**case.feeds, "x": x, "residual": np.zeros(1, np.float32)}
        feeds.update({k: case.feeds[k][:1] for k in ("scale", "shift")}, in_active=np.ones_like(x[:, :, 0, 0]))
        case.feeds["x"] = x
        np.testing.assert_allclose(fast.run(None, feeds)[0], slow.run(None, feeds)[0], rtol=0, atol=case.tolerance())


def test_sessions_and_threads_share_nothing():
    """Several sessions, each run from several threads at once, always give the result of a lone run."""
    cases = [models.random_conv(np.random.default_rng(100 + i)) for i in range(4)]
    sessions = [models.session(c.model(), threads=1 + i % 2) for i, c in enumerate(cases)]
    expected = [s.run(None, c.feeds)[0] for s, c in zip(sessions, cases)]
    errors: list[str] = []

    def work(offset: int) -> None:
        for i in range(60):
            j = (i + offset) % len(cases)
            if not np.array_equal(sessions[j].run(None, cases[j].feeds)[0], expected[j]):
                errors.append(f"session {j} differs")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_shape_inference_keeps_the_symbolic_batch():
    case = models.random_conv(np.random.default_rng(8))
    session = models.session(case.model())
    got = session.run(None, case.feeds)[0]
    assert session.get_outputs()[0].shape == ["N", *got.shape[1:]]
    gate = models.random_gate(np.random.default_rng(8))
    assert [o.shape[0] for o in models.session(gate.model()).get_outputs()] == ["N", "N"]


def test_the_kernel_is_used_and_not_the_function():
    """A function body that would give another answer is ignored when the library is registered."""
    case = models.random_conv(np.random.default_rng(9))
    model = onnx.load_from_string(case.model())
    last = model.functions[0].node[-1]
    last.CopyFrom(helper.make_node("Neg", [last.input[0]], list(last.output)))
    wrong = model.SerializeToString()
    with_kernel = models.session(wrong).run(None, case.feeds)[0]
    np.testing.assert_array_equal(with_kernel, models.session(case.model()).run(None, case.feeds)[0])
    assert not np.array_equal(models.session(wrong, accelerated=False).run(None, case.feeds)[0], with_kernel)
