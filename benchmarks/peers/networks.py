"""The plain networks of the comparison, at any batch, and masks for the gated ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from benchmarks.networks.graphs import dense_network
from benchmarks.networks.masks import network_cost, network_masks
from benchmarks.networks.shapes import Network


def at_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A copy whose graph inputs have `batch` as first dimension; what was inferred for another batch is dropped."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    del copy.graph.value_info[:]
    return copy


def dense(network: Network) -> onnx.ModelProto:
    """Standard operators, batch 1."""
    return onnx.load_from_string(dense_network(network, np.random.default_rng(2)))


def draw_masks(network: Network, keep: float, batch: int, seeds: Sequence[int]) -> tuple[list[dict], float]:
    """For every seed the control inputs of one batch, another draw for each sample, and the mean cost of all of them.

    The cost is kept over dense multiply-adds of the convolutions. An addition keeps the union of its inputs.
    """
    sets, costs = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        samples = [network_masks(network, keep, rng) for _ in range(batch)]
        costs += [network_cost(network, sample) for sample in samples]
        gated = [name for name, conv in network.convs.items() if conv.mask == "own"]
        sets.append({f"{name}.mask": np.concatenate([s[f"{name}.scale"] for s in samples]) for name in gated})
    return sets, float(np.mean(costs))
