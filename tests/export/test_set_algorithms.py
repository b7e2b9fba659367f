"""The kernel hint in a graph: it survives the passes for ONNX Runtime and never reaches TensorRT or plain operators."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from sanp_export.exporter import export
from sanp_export.graph.kernel_shapes import kernel_shapes
from sanp_export.graph.model_file import metadata_of, to_graph, to_model
from sanp_export.passes.set_algorithms import set_algorithms
from sanp_export.tensorrt import TensorrtOptions, convert
from sanp_export.variants import variants
from sanp_runtime.engines.onnxruntime.library import OpLibrary, find_library
from tests.support import exported_nets as nets

IMAGE = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(2))


def hinted(model, algorithms):
    graph = to_graph(model)
    assert set_algorithms(graph, algorithms) == len(algorithms)
    assert set_algorithms(graph, algorithms) == 0, "a second run changes nothing"
    return to_model(graph, metadata_of(model))


def algorithms_in(model):
    return {
        node.name.rpartition("/")[0]: attribute.s.decode()
        for node in model.graph.node
        for attribute in node.attribute
        if attribute.name == "algorithm"
    }


@pytest.mark.parametrize("kind", list(nets.NETS))
def test_hints_follow_the_model_into_its_variants_and_change_no_answer(kind):
    model = export(nets.make(kind), IMAGE)
    shapes = kernel_shapes(to_graph(model))
    wanted = dict.fromkeys(shapes, "rows")
    marked = hinted(model, wanted)
    feeds = {"input": IMAGE.numpy()}
    plain, same = (ort.InferenceSession(m.SerializeToString()).run(["logits"], feeds)[0] for m in (model, marked))
    np.testing.assert_array_equal(plain, same)
    for name, graph in variants(marked).items():
        assert algorithms_in(graph) == ({} if name == "dense" else wanted)
        assert not algorithms_in(convert(graph, TensorrtOptions("fp32"))), name
        assert not algorithms_in(convert(graph, TensorrtOptions("fp32", frozenset())))
    assert not algorithms_in(hinted_off(marked))


def hinted_off(model):
    graph = to_graph(model)
    set_algorithms(graph, {})
    return to_model(graph, {})


@pytest.mark.parametrize("kind", list(nets.NETS))
def test_shapes_are_those_that_run(kind):
    """Against the weights and maps that ONNX's own shape inference finds, and known to the library."""
    model = export(nets.make(kind), IMAGE)
    shapes, library = kernel_shapes(to_graph(model)), OpLibrary(find_library())
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    maps = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    convs = [node for node in model.graph.node if node.op_type == "SanpGatedConv"]
    assert len(convs) == len(shapes) > 0
    for node in convs:
        shape = shapes[node.name.rpartition("/")[0]]
        assert list(shape[:3]) == maps[node.input[0]][1:]
        assert shape[3] == weights[node.input[1]][0] and list(shape[4:6]) == weights[node.input[1]][2:]
        assert shape[0] == weights[node.input[1]][1] * shape[14]
        assert library.algorithms(shape)
