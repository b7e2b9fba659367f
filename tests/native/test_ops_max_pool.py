"""Max pooling of bytes inside ONNX Runtime: against its own MaxPool, which is the function body, on every set."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from sanp_export.functions import max_pool_function
from tests.native import op_models as models
from tests.native.test_ops_bad_inputs import RUNTIME_ERRORS


def pool_model(function: bool = True, shape=None, **attributes) -> bytes:
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4, **attributes}
    node = helper.make_node("SanpMaxPool", ["x"], ["y"], domain="sanp", **attributes)
    graph = helper.make_graph(
        [node], "one", [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("sanp", 1)]
    functions = [max_pool_function()] if function else []
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9).SerializeToString()


@pytest.mark.parametrize("isa", models.usable_isas())
@pytest.mark.parametrize("threads", [1, 2])
def test_kernel_equals_the_function(isa, threads):
    rng = np.random.default_rng(threads)
    for _ in range(40):
        kernel = rng.integers(1, 5, 2)
        model = pool_model(
            kernel_shape=kernel.tolist(), strides=rng.integers(1, 4, 2).tolist(),
            pads=[int(rng.integers(0, kernel[i % 2])) for i in range(4)],
        )  # fmt: skip
        size = (rng.integers(1, 3), rng.integers(1, 70), *(kernel + rng.integers(0, 40, 2)))
        x = rng.integers(0, 256, size).astype(np.uint8)
        got = models.session(model, isa=isa, threads=threads).run(None, {"x": x})[0]
        np.testing.assert_array_equal(got, models.session(model, accelerated=False).run(None, {"x": x})[0])


def test_shape_inference_and_an_empty_batch():
    session = models.session(pool_model(function=False, shape=["N", 8, 7, 6]))
    assert session.get_outputs()[0].shape == ["N", 8, 3, 3] and session.get_outputs()[0].type == "tensor(uint8)"
    assert session.run(None, {"x": np.zeros((0, 8, 7, 6), np.uint8)})[0].shape == (0, 8, 3, 3)


@pytest.mark.parametrize(
    ("attributes", "shape", "words"),
    [
        ({"pads": [2, 0, 0, 0]}, (1, 3, 8, 8), ["pad of 2", "less than the kernel"]),
        ({"strides": [0, 2]}, (1, 3, 8, 8), ["stride 0", "at least 1"]),
        ({}, (1, 3, 1, 8), ["[1, 3, 1, 8]", "larger image"]),
        ({}, (3, 8, 8), ["'x'", "4 dimensions"]),
    ],
)
def test_wrong_inputs_are_explained(attributes, shape, words):
    with pytest.raises(RUNTIME_ERRORS) as error:
        models.session(pool_model(False, **attributes)).run(None, {"x": np.zeros(shape, np.uint8)})
    for word in ["SanpMaxPool", *words]:
        assert word in str(error.value)
