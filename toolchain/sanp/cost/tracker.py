"""The cost of a gated PyTorch network: its layer table, and the MACs of each sample of the last forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from sanp.gating.attach import gated_layers
from sanp.gating.controls import tell_modes
from sanp.gating.gated_conv import GatedConv
from sanp.tracing.support_rules import supports
from sanp.tracing.trace import first_input, shape_of, trace
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import Convention, OpenChannels, count_macs, dense_macs
from sanp_runtime.network.support import Dense, Support
from sanp_targets.errors import ConfigError


class CostTracker:
    """Follows the support algebra through the network's graph once, then counts the MACs of every forward pass.

    layers: convolutions and linear layers in execution order, the same table that export and device use.
    dense_macs: MACs of the ungated network under the default convention. uncounted: operations with weights that the
    cost model does not know (transposed and 1-d convolutions, functional calls); empty for ordinary networks.
    """

    def __init__(self, gated_model: nn.Module, example_input: Tensor) -> None:
        tell_modes(gated_model, torch.zeros(example_input.shape[0], dtype=torch.int64))  # oracle gates need some mode
        traced = trace(gated_model, example_input)
        self.layers: tuple[Layer, ...] = layer_table(traced)
        self.dense_macs: int = dense_macs(self.layers)
        self.uncounted: tuple[str, ...] = tuple(node.name for node in traced.graph.nodes if _is_uncounted(traced, node))
        self._gated = gated_layers(gated_model)

    def codes(self) -> dict[str, Tensor]:
        """Layer name -> hard, noise-free 0/1 mask [N, C_out] of the last forward pass."""
        return {name: layer.code for name, layer in self._gated.items()}

    def sample_macs(self, convention: Convention | None = None) -> Tensor:
        """MACs that each sample of the last forward pass needs, float64 [N], on the device of the network.

        No value is copied to the host, so that this can run in every training step.
        """
        return mask_macs(self.layers, self.codes(), convention)

    def filter_macs(self) -> dict[str, Tensor]:
        """What closing one filter saves, as a share of the dense MACs: layer name -> float32 [C_out].

        Own row plus the consumers' columns, taken as the derivative of the cost with every mask at one half, where both
        operands of an addition still count.
        """
        masks = {
            row.name: torch.full((1, row.c_out), 0.5, dtype=torch.float64, requires_grad=True)
            for row in self.layers
            if row.gated
        }
        with torch.enable_grad():
            total = mask_macs(self.layers, masks, Convention(spm="none")).sum()
            saved = torch.autograd.grad(total, list(masks.values()))
        return {name: (grad[0] / self.dense_macs).float() for name, grad in zip(masks, saved)}


def mask_macs(layers: Sequence[Layer], masks: dict[str, Tensor], convention: Convention | None = None) -> Tensor:
    """MACs per sample, float64 [N], for masks [N, C_out]; differentiable (also for soft masks, then pass float64)."""
    if not masks:
        raise ConfigError("the network has no gated layer, expected at least one; gate it first")
    total: Tensor = count_macs(layers, _OpenChannels(masks), convention)
    return total


class _OpenChannels(OpenChannels):
    """The counts in torch, on the device of the masks and without a copy to the host."""

    def zeros(self) -> Tensor:
        return self.first.new_zeros(self.first.shape[0], dtype=torch.float64)

    def ones(self, channels: int) -> Tensor:
        return self.first.new_ones(self.first.shape[0], channels)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), dim=1)

    def total(self, values: Tensor) -> Tensor:
        return values.sum(1, dtype=torch.float64)

    def add(self, total: Tensor, count: Tensor, factor: int) -> Tensor:
        return total.add(count, alpha=factor)  # one kernel instead of two in every layer of every training step


def layer_table(traced: fx.GraphModule) -> tuple[Layer, ...]:
    """Rows for every convolution and linear layer of a traced network, in execution order.

    A head is an ungated layer on a 1x1 map after the last gated one.
    """
    support = supports(traced)
    rows: list[Layer] = []
    for node in traced.graph.nodes:
        module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if not isinstance(module, (GatedConv, nn.Conv2d, nn.Linear)):
            continue
        shape = shape_of(node)
        assert shape is not None
        source = first_input(node)
        if isinstance(module, nn.Linear) and len(shape) != 2:
            reads: Support = Dense(module.in_features)  # features are not on the channel axis
        else:
            reads = support[source]
        rows.append(_row(str(node.target), module, shape, reads))
    last_gated = max((index for index, row in enumerate(rows) if row.gated), default=-1)
    return tuple(
        Layer(**{**row.__dict__, "head": index > last_gated and row.out_hw == (1, 1)}) for index, row in enumerate(rows)
    )


def _conv(module: nn.Module) -> nn.Conv2d:
    conv = module.conv if isinstance(module, GatedConv) else module
    assert isinstance(conv, nn.Conv2d)
    return conv


def _row(name: str, module: nn.Module, shape: tuple[int, ...], support: Support) -> Layer:
    if isinstance(module, nn.Linear):
        positions = 1
        for size in shape[1:-1]:
            positions *= size
        return Layer(name, module.in_features, module.out_features, (positions, 1), support=support)
    conv = _conv(module)
    gated = isinstance(module, GatedConv)
    return Layer(
        name,
        conv.in_channels,
        conv.out_channels,
        (shape[2], shape[3]),
        kernel=(conv.kernel_size[0], conv.kernel_size[1]),
        groups=conv.groups,
        gated=gated,
        gate_hidden=module.gate.gate_hidden if isinstance(module, GatedConv) else 0,
        support=support,
    )


_UNCOUNTED_MODULES = (nn.Conv1d, nn.Conv3d, nn.ConvTranspose2d, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase)
_UNCOUNTED_CALLS = (F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.linear, torch.matmul, torch.bmm, torch.einsum)


def _is_uncounted(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), _UNCOUNTED_MODULES)
    return node.op == "call_function" and node.target in _UNCOUNTED_CALLS
