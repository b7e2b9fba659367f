"""The bound call: equal to the convenient one bit for bit, in the caller's arrays, refused for whatever is wrong."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sanp_runtime import load
from sanp_runtime.contract import LOGITS
from sanp_runtime.profile.call_times import time_calls
from sanp_targets.errors import ConfigError, InputError
from tests.support import tiny_net

NAMES = (LOGITS, *(f"gate.{layer}" for layer in tiny_net.GATED))


@pytest.fixture(scope="module", params=["plain", "native"])
def place(request):
    """Path and keyword arguments of the bundle, run by plain ONNX Runtime or by our kernels."""
    if request.param == "plain":
        return request.getfixturevalue("pristine"), {"library": None}
    return request.getfixturevalue("native_path"), {}


@pytest.fixture(scope="module")
def engine(place):
    with load(place[0], **place[1]) as engine:
        yield engine


@pytest.mark.parametrize("variant", ["gated", "open", "replay", "dense"])
@pytest.mark.parametrize("rows", [None, 1, 3])
def test_equal_to_the_convenient_call_bit_for_bit(place, variant, rows):
    """Without masks, with one row for all samples, with a row for each; gates of one row fill [N, Co] all the same."""
    x = tiny_net.samples(3)
    masks = None
    if rows is not None and variant != "dense":
        masks = {"stem": np.ones((rows, tiny_net.WIDTH), np.float32)}
        masks["stem"][-1, ::3] = 0
    with load(place[0], variant=variant, **place[1]) as engine:
        expected = engine(x, masks)
        call = engine.bind(x, masks, outputs=engine.outputs)
        for _ in range(2):
            np.testing.assert_array_equal(call(), expected.logits)
            for layer in engine.gated:
                np.testing.assert_array_equal(call.outputs[f"gate.{layer}"], expected.gates[layer])
        assert list(call.outputs) == engine.outputs


def test_results_land_in_the_arrays_of_the_caller(engine):
    x = tiny_net.samples(2)
    out = {"logits": np.full((2, tiny_net.CLASSES), np.nan, np.float32)}
    out["gate.block.a"] = np.full((2, tiny_net.WIDTH), np.nan, np.float32)
    call = engine.bind(x, outputs=("gate.block.a", "logits"), out=out)
    assert np.isnan(out["logits"]).all(), "binding computes nothing into the arrays"
    assert call() is out["gate.block.a"] is call.outputs["gate.block.a"], "the first name that was asked for"
    expected = engine(x)
    np.testing.assert_array_equal(out["logits"], expected.logits)
    np.testing.assert_array_equal(out["gate.block.a"], expected.gates["block.a"])


def test_arrays_stay_the_same_and_the_input_is_written_in_place(engine):
    x, other = tiny_net.samples(4)[:2], tiny_net.samples(4)[2:]
    call = engine.bind(x, {"stem": np.ones((1, tiny_net.WIDTH), np.float32)})
    assert call.input is not x and list(call.masks) == ["stem"], "copies: later changes of x have no effect"
    arrays = (call.input, call.masks["stem"], call.outputs["logits"])
    addresses = [array.ctypes.data for array in arrays]
    call()
    call.input[...] = other
    call.masks["stem"][:, ::2] = 0
    call.update()
    np.testing.assert_array_equal(call(), engine(other, dict(call.masks)).logits)
    assert arrays[0] is call.input and arrays[1] is call.masks["stem"] and arrays[2] is call()
    assert [array.ctypes.data for array in arrays] == addresses
    for name in ("input", "masks", "outputs"):
        with pytest.raises(AttributeError):
            setattr(call, name, None)
    with pytest.raises(TypeError):
        call.outputs["logits"] = np.zeros(1)


def test_update_refuses_what_bind_refuses(engine):
    call = engine.bind(tiny_net.samples(1), {"stem": np.ones((1, tiny_net.WIDTH), np.float32)})
    call.input[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        call.update()
    call.input[...] = 0
    call.masks["stem"][0, 0] = -1
    with pytest.raises(InputError, match="negative"):
        call.update()
    call.masks["stem"][0, 0] = 1
    call.update()
    assert np.isfinite(call()).all()


def test_several_calls_of_one_engine_take_turns(engine):
    parts = [tiny_net.samples(6)[:1], tiny_net.samples(6)[1:3], tiny_net.samples(6)[3:]]
    calls, expected = [engine.bind(part) for part in parts], [engine(part).logits for part in parts]
    for _ in range(2):
        for call, logits in zip(calls, expected):
            np.testing.assert_array_equal(call(), logits)


def test_the_example_of_the_readme_runs(engine):
    text = (Path(__file__).parents[3] / "runtime/README.md").read_text(encoding="utf-8")
    section = text.split("## The fast call")[1].split("\n##")[0]
    code = "".join(line[4:] + "\n" for line in section.splitlines() if line.startswith("    "))
    scope = {"engine": engine, "x": tiny_net.samples(2), "other": tiny_net.samples(5)[3:], "masks": None}
    scope["mine"], scope["scales"] = np.empty((2, tiny_net.CLASSES), np.float32), np.empty((2, 8), np.float32)
    exec(code, scope)
    assert scope["call"].outputs["logits"] is scope["mine"] and scope["call"].outputs["gate.stem"] is scope["scales"]
    np.testing.assert_array_equal(scope["logits"], engine(scope["other"]).logits)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("logits", "sequence of names"),
        ((), "at least one"),
        (("logits", "logits"), "each once"),
        (("stem",), r"no output 'stem'"),
        (("gate.block.c",), r"gate\.block\.a"),
        ((3,), "no output 3"),
    ],
)
def test_names_of_outputs_are_checked(engine, outputs, message):
    with pytest.raises(InputError, match=message):
        engine.bind(tiny_net.samples(1), outputs=outputs)


GOOD = np.zeros((2, tiny_net.CLASSES), np.float32)
FROZEN = GOOD.copy()
FROZEN.flags.writeable = False


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (GOOD, "is a ndarray, expected a dictionary"),
        ({"logits": GOOD.tolist()}, "is list"),
        ({"logits": GOOD.astype(np.float64)}, "is float64"),
        ({"logits": GOOD[:1]}, r"\[1, \d\], expected a float32 array \[2, \d\]"),
        ({"logits": np.zeros((2, 2 * tiny_net.CLASSES), np.float32)[:, ::2]}, "strided or read-only"),
        ({"logits": FROZEN}, "strided or read-only"),
        ({"logits": GOOD, "gate.stem": GOOD}, "'gate.stem', expected some of"),
    ],
)
def test_arrays_of_the_caller_are_checked(engine, out, message):
    with pytest.raises(InputError, match=message):
        engine.bind(tiny_net.samples(2), out=out)


def test_outputs_may_not_share_memory(engine):
    block = np.zeros((2, tiny_net.WIDTH), np.float32)
    with pytest.raises(InputError, match="share memory"):
        engine.bind(
            tiny_net.samples(2),
            outputs=("gate.stem", "gate.block.a"),
            out={"gate.stem": block, "gate.block.a": block},
        )


def test_calls_allocate_nothing_that_stays(engine):
    call, levels = engine.bind(tiny_net.samples(2), outputs=NAMES), np.zeros(8, np.int64)
    tracemalloc.start()
    try:
        for block in range(len(levels)):
            for _ in range(400):
                call()
                call.update()
            gc.collect()
            levels[block] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # A leak would show in every block; the free lists of the interpreter fill and empty now and then.
    assert min(np.diff(levels)) <= 0, levels


def test_closing_the_engine_ends_its_calls(place):
    engine = load(place[0], **place[1])
    call = engine.bind(tiny_net.samples(1))
    kept = call().copy()
    engine.close()
    with pytest.raises(ConfigError, match="closed"):
        call()
    with pytest.raises(ConfigError, match="closed"):
        call.update()
    with pytest.raises(ConfigError, match="closed"):
        engine.bind(tiny_net.samples(1))
    np.testing.assert_array_equal(call.outputs["logits"], kept)


def test_a_call_keeps_what_it_needs(place):
    """The engine object may be forgotten: the call keeps its session and its memory."""
    expected = load(place[0], **place[1])(tiny_net.samples(1)).logits
    call = load(place[0], **place[1]).bind(tiny_net.samples(1))
    gc.collect()
    np.testing.assert_array_equal(call(), expected)


def test_the_ways_to_call_are_timed_side_by_side(native_path):
    times = time_calls(native_path, duration_s=0.05, batch=2)
    assert 0 < times.bound_ms <= times.updated_ms and times.bound_ms < times.convenient_ms
    assert times.calls % 6 == 0 and times.batch == 2 and times.variant == "gated"
    assert len(times.lines()) == 4 and set(times.to_json()) >= {"convenient_ms", "updated_ms", "bound_ms"}
    with pytest.raises(ConfigError, match="batch is 7"):
        time_calls(native_path, batch=7)
