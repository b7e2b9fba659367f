"""Rounding to bfloat16 against PyTorch's own, and a pass that changes the named layers and nothing else."""

import numpy as np
import pytest
import torch

from sanp_export.exporter import export
from sanp_export.graph.model_file import to_graph
from sanp_export.graph.number_types import nearest_bf16
from sanp_export.graph.patterns import WEIGHT, gated_convs, layer_of
from sanp_export.passes.round_weights import round_weights
from sanp_targets.errors import ExportError
from tests.support import exported_nets as nets


def torch_rounding(values):
    return torch.from_numpy(values).to(torch.bfloat16).float().numpy()


def test_rounding_is_that_of_pytorch():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 200_000, dtype=np.uint32)
    # Ties, and the numbers beside them, would be rare among random bits.
    ties = (bits[:50_000] & np.uint32(0xFFFF0000)) + rng.choice(np.array([0x7FFF, 0x8000, 0x8001], np.uint32), 50_000)
    values = np.concatenate([bits, ties]).view(np.float32)
    values = values[np.isfinite(values)]
    rounded = nearest_bf16(values)
    np.testing.assert_array_equal(rounded.view(np.uint32), torch_rounding(values).view(np.uint32))
    np.testing.assert_array_equal(nearest_bf16(rounded).view(np.uint32), rounded.view(np.uint32))
    assert nearest_bf16(np.ones((2, 3, 1, 1), np.float32)).shape == (2, 3, 1, 1)


@pytest.fixture
def graph():
    return to_graph(export(nets.make("static"), nets.IMAGE))


def weights(graph):
    return {layer_of(conv): conv.inputs[WEIGHT].values.copy() for conv in gated_convs(graph)}


def test_only_the_named_layers_change_and_a_second_run_changes_nothing(graph):
    before = weights(graph)
    chosen = sorted(before)[:1]
    assert len(before) > 1 and round_weights(graph, chosen) == 1
    for name, values in weights(graph).items():
        expected = torch_rounding(before[name]) if name in chosen else before[name]
        np.testing.assert_array_equal(values, expected, err_msg=name)
    assert round_weights(graph, chosen) == 0
    assert round_weights(graph, []) == 0


def test_weights_that_another_layer_reads_too_are_left_alone(graph):
    first, second = list(gated_convs(graph))[:2]
    kept = first.inputs[WEIGHT].values.copy()
    second.inputs[WEIGHT] = first.inputs[WEIGHT]
    assert round_weights(graph, [layer_of(first)]) == 0
    np.testing.assert_array_equal(first.inputs[WEIGHT].values, kept)
    assert round_weights(graph, [layer_of(first), layer_of(second)]) == 1


# The bits of the last two carry into the sign when they are rounded; the first of them is the NaN of NVIDIA's GPUs.
NANS = np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)


@pytest.mark.parametrize("value", [3.4e38, np.inf, np.nan, *NANS])
def test_weights_without_a_finite_bfloat16_are_refused(graph, value):
    conv = next(gated_convs(graph))
    damaged = conv.inputs[WEIGHT].values.copy()
    damaged[0, 0, 0, 0] = value
    conv.inputs[WEIGHT].values = damaged
    with pytest.raises(ExportError, match=layer_of(conv)):
        round_weights(graph, [layer_of(conv)])
