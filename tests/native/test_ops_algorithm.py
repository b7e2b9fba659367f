"""The attribute `algorithm` of SanpGatedConv inside ONNX Runtime: a hint about speed that never changes an answer."""

from __future__ import annotations

import numpy as np
import pytest

from sanp_targets.errors import ConfigError
from tests.native import op_models as models

ALGORITHMS = (
    "in-place", "rows", "columns", "gather", "dot", "pixel-pairs", "depthwise", "depthwise-in-place", "channels",
    "winograd-2", "winograd-4",
)  # fmt: skip
ISAS = models.usable_isas()
LIBRARY = models.LIBRARY


def shape_of(case: models.ConvCase) -> list[int]:
    a, w = case.attributes, case.weights.shape
    _, channels, height, width = case.feeds["x"].shape
    return [channels, height, width, w[0], *w[2:], *a["strides"], *a["pads"], *a["dilations"], a["group"]]


def run(case: models.ConvCase, algorithm: str | None, isa: str | None = None, limit: int = 4, **options) -> np.ndarray:
    attributes = case.attributes if algorithm is None else {**case.attributes, "algorithm": algorithm}
    model = models.ConvCase(attributes, case.weights, case.feeds).model(**options)
    feeds = case.feeds if options.get("weights_constant", True) else {**case.feeds, "w": case.weights}
    return models.session(model, True, 1, isa, winograd=limit).run(None, feeds)[0]


def exact(case: models.ConvCase) -> np.ndarray:
    """The contract in float64, pixel by pixel of the kernel: shares nothing with the library."""
    f = {name: value.astype(np.float64) for name, value in case.feeds.items()}
    a, w = case.attributes, case.weights.astype(np.float64)
    (sy, sx), (dy, dx), (top, left, bottom, right) = a["strides"], a["dilations"], a["pads"]
    x = np.pad(f["x"], ((0, 0), (0, 0), (top, bottom), (left, right)))
    height = (x.shape[2] - dy * (w.shape[2] - 1) - 1) // sy + 1
    width = (x.shape[3] - dx * (w.shape[3] - 1) - 1) // sx + 1
    sums = np.zeros((x.shape[0], a["group"], w.shape[0] // a["group"], height, width))
    grouped = w.reshape(a["group"], -1, *w.shape[1:])
    for ky, kx in np.ndindex(*w.shape[2:]):
        seen = x[:, :, ky * dy : ky * dy + sy * (height - 1) + 1 : sy, kx * dx : kx * dx + sx * (width - 1) + 1 : sx]
        seen = seen.reshape(len(x), a["group"], -1, height, width)
        sums += np.einsum("ngihw,goi->ngohw", seen, grouped[..., ky, kx])
    y = sums.reshape(len(x), -1, height, width) * f["scale"][:, :, None, None] + f["shift"][:, :, None, None]
    return np.clip(y + f["residual"], a["act_min"], a["act_max"])


def wide_case(seed: int = 3, size: int = 16) -> models.ConvCase:
    """A 3x3 layer that all direct algorithms and both Winograd tiles can compute."""
    return models.padded_conv(np.random.default_rng(seed), 20, 24, size)


@pytest.mark.parametrize("isa", ISAS)
def test_every_possible_algorithm_of_random_layers_gives_the_exact_answer(isa):
    seen: set[str] = set()
    for seed in range(60):
        case = models.random_conv(np.random.default_rng([seed, 11]))
        possible = LIBRARY.algorithms(shape_of(case), isa)
        assert possible and set(possible) <= set(ALGORITHMS) and len(set(possible)) == len(possible)
        for algorithm in possible:
            y = run(case, algorithm, isa)
            np.testing.assert_allclose(y, exact(case), rtol=0, atol=case.tolerance(), err_msg=f"{seed} {algorithm}")
        seen |= set(possible)
    assert len(seen) >= 6, seen


def test_the_first_name_is_the_choice_of_the_model_and_the_hint_replaces_it():
    case = wide_case()
    first, *others = LIBRARY.algorithms(shape_of(case))
    assert np.array_equal(run(case, None), run(case, first)) and np.array_equal(run(case, None), run(case, ""))
    answers = {run(case, algorithm).tobytes() for algorithm in ("rows", "winograd-2", "winograd-4")}
    assert len(answers) == 3 and {"rows", "winograd-2", "winograd-4"} <= {first, *others}


def test_an_impossible_algorithm_leaves_the_choice_to_the_model():
    case = wide_case()
    expected = run(case, None)
    for algorithm in ("in-place", "dot", "pixel-pairs"):
        assert algorithm not in LIBRARY.algorithms(shape_of(case))
        np.testing.assert_array_equal(run(case, algorithm), expected)
    # Winograd needs weights that cannot change, and the limit of the session goes before the hint.
    np.testing.assert_array_equal(
        run(case, "winograd-4", weights_constant=False), run(case, None, weights_constant=False)
    )
    np.testing.assert_array_equal(run(case, "winograd-4", limit=2), run(case, None, limit=2))
    assert "winograd-4" not in LIBRARY.algorithms(shape_of(case), winograd=2)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("fast", ["'fast'", "expected one of in-place, rows", "winograd-4", "remove it"]),
        ("Rows", ["'Rows'", "expected one of"]),
        (3, ["is a number", "expected a string"]),
        (0.5, ["is a number", "expected a string"]),
    ],
)
def test_a_wrong_value_is_explained(value, words):
    with pytest.raises(Exception) as error:
        run(wide_case(), value)
    for word in ["SanpGatedConv", "'algorithm'", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize("value", ["", "rows", "winograd-4", "a name of tomorrow"])
def test_plain_onnx_runtime_ignores_it(value):
    case = wide_case()
    expected = models.session(case.model(), accelerated=False).run(None, case.feeds)[0]
    hinted = models.ConvCase({**case.attributes, "algorithm": value}, case.weights, case.feeds)
    np.testing.assert_array_equal(models.session(hinted.model(), accelerated=False).run(None, case.feeds)[0], expected)


def test_asking_about_shapes_that_do_not_exist():
    shape = shape_of(wide_case())
    for index, value in ((0, 0), (1, 0), (3, -1), (4, 99), (6, 0), (14, 0), (14, 7)):
        assert LIBRARY.algorithms([*shape[:index], value, *shape[index + 1 :]]) == ()
    with pytest.raises(ConfigError, match="14 numbers, expected 15"):
        LIBRARY.algorithms(shape[:14])
