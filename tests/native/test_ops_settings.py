"""What a session asks of the kernels is the session's own: instruction set, Winograd limit, storage of weights."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import onnxruntime as ort
import pytest

from sanp_runtime.engines.onnxruntime.library import MOST_WINOGRAD
from sanp_targets.errors import ConfigError
from tests.native import op_models as models

LIBRARY = models.LIBRARY
TILES = (0, 2, MOST_WINOGRAD)
ROUNDS = 40


def registered(entries: dict[str, str]) -> ort.SessionOptions:
    """Options with the library registered under these entries."""
    options = ort.SessionOptions()
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    options.register_custom_ops_library(str(LIBRARY.path))
    return options


def wide_case() -> models.ConvCase:
    """A layer whose answer differs in its last bits between any two instruction sets and any two Winograd tiles."""
    return models.padded_conv(np.random.default_rng(3), 48, 40, 16)


def test_threads_that_load_at_once_get_what_they_asked_for():
    """Every thread makes sessions with settings of its own while the others do; the bits of answers tell them apart.

    The expected bits come from one session after another. A switch of the process would mix them up.
    """
    case = wide_case()
    model, settings = case.model(), list(itertools.product({LIBRARY.isas[0], LIBRARY.isas[-1]}, TILES))
    expected = {
        (isa, tile): models.session(model, True, 1, isa, winograd=tile).run(None, case.feeds)[0].tobytes()
        for isa, tile in settings
    }
    assert len(set(expected.values())) == len(settings), "the answers do not tell the settings apart"
    start, wrong, errors = threading.Barrier(len(settings)), [], []

    def work(isa: str, tile: int) -> None:
        try:
            start.wait(60)
            for _ in range(ROUNDS):
                answer = models.session(model, True, 1, isa, winograd=tile).run(None, case.feeds)[0]
                if answer.tobytes() != expected[isa, tile]:
                    wrong.append((isa, tile))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in settings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert not wrong, f"{len(wrong)} of {ROUNDS * len(settings)} sessions used other settings: {set(wrong)}"


def test_a_session_keeps_its_settings_while_others_are_made():
    case = wide_case()
    first = models.session(case.model(), isa="portable", winograd=0)
    before = first.run(None, case.feeds)[0]
    smaller = models.padded_conv(np.random.default_rng(4), 48, 40, 15)  # a shape that is planned later
    other = models.session(case.model()).run(None, case.feeds)[0]
    assert LIBRARY.isas == ("portable",) or not np.array_equal(other, before)
    np.testing.assert_array_equal(first.run(None, case.feeds)[0], before)
    dynamic = models.model_bytes(
        "SanpGatedConv", {**dict.fromkeys(models.CONV_INPUTS), "x": ["N", 48, "H", "W"]}, ("y",),
        {"w": smaller.weights}, None, **smaller.attributes,
    )  # fmt: skip
    late, alone = (models.session(dynamic, isa="portable", winograd=0) for _ in range(2))
    late.run(None, case.feeds)
    models.session(dynamic).run(None, smaller.feeds)
    np.testing.assert_array_equal(late.run(None, smaller.feeds)[0], alone.run(None, smaller.feeds)[0])


def test_the_best_set_is_the_default_and_is_called_auto():
    case = wide_case()
    answers = [
        ort.InferenceSession(case.model(), registered(entries), providers=["CPUExecutionProvider"]).run(
            None, case.feeds
        )[0]
        for entries in ({}, {"sanp.isa": "auto"}, {"sanp.isa": LIBRARY.isa, "sanp.winograd": "4"})
    ]
    for other in answers[1:]:
        np.testing.assert_array_equal(other, answers[0])
    assert LIBRARY.isa == LIBRARY.isas[0] and LIBRARY.isas[-1] == "portable"
    assert LIBRARY.settings["sanp.winograd"][0] == str(MOST_WINOGRAD)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("sanp.isa", value) for value in ("", "sse9", "AVX2", "avx512 ", "a" * 300)),
        *(("sanp.winograd", value) for value in ("", "3", "-1", "4.0", "04")),
        *(("sanp.bf16_weights", value) for value in ("", "2", "yes", "true")),
    ],
)
def test_a_wrong_value_is_an_error_of_registration(key, value):
    with pytest.raises(Exception) as error:
        registered({key: value})
    text = str(error.value)
    for word in ("RegisterCustomOps", f"'{key}'", f"'{value[:60]}'", "expected one of", "leave it out"):
        assert word in text
    for known in LIBRARY.settings[key]:
        assert known in text
    registered({})  # a refused registration leaves nothing behind


def test_python_refuses_the_same_before_a_session_is_made():
    assert LIBRARY.session_entries() == {} == LIBRARY.session_entries("auto")
    assert LIBRARY.session_entries("portable", 0, False) == {
        "sanp.isa": "portable", "sanp.winograd": "0", "sanp.bf16_weights": "0",
    }  # fmt: skip
    for wrong in ({"isa": "sve9"}, {"winograd": 3}, {"bf16_weights": 2}):
        with pytest.raises(ConfigError, match="choose one of"):
            LIBRARY.session_entries(**wrong)
    with pytest.raises(ConfigError, match="sve9"):
        LIBRARY.algorithms([1] * 15, "sve9")
    with pytest.raises(ConfigError, match="choose one of 4, 2, 0"):
        LIBRARY.algorithms([1] * 15, winograd=3)
