"""Replace gated layers by export twins whose forward emits the two custom operators."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sanp_export.graph.patterns import SHARED_GATE, STATIC_GATE
from sanp_export.lower_pixels import LoweredPixelGatedConv, output_hw
from sanp_export.spec import (
    ExportsGatedConv,
    ExportsPixelGatedConv,
    GatedConvSpec,
    SharedGate,
    SpmGate,
    StaticGate,
)
from sanp_runtime.contract import CHANNEL_GATE, DOMAIN, GATED_CONV
from sanp_targets.errors import ExportError

_GATE_OPERANDS: dict[type, tuple[str, ...]] = {
    SpmGate: ("w1", "b1", "w2", "b2"),
    StaticGate: ("scale",),
    SharedGate: (),
}


class LoweredGatedConv(nn.Module):
    """Export twin of a gated convolution: one gate node and one convolution node, batch norm folded.

    A static gate is written as `SanpStaticGate(scale, bias, mask)` and a shared one as `SanpSharedGate(bias)` with the
    names of its leaders ("" for channels that are always open) and their widths; passes expand both into standard
    operators.
    Both nodes carry the layer's name in the attribute `layer`, because the exporter merges equal constants and their
    names. `in_active` and `residual` start as constants (all active, none) and are wired by passes on the whole graph.
    """

    weight: Tensor
    bias: Tensor
    mask: Tensor
    in_active: Tensor
    residual: Tensor

    def __init__(self, layer: str, spec: GatedConvSpec, names: Mapping[nn.Module, str]) -> None:
        """names: of the modules that a shared gate may name as its leaders."""
        super().__init__()
        self.layer = layer
        leaders = spec.gate.leaders if isinstance(spec.gate, SharedGate) else ()
        self.leaders = ["" if isinstance(item, int) else names[item] for item in leaders]
        self.widths = list(spec.gate.widths) if isinstance(spec.gate, SharedGate) else []
        self.strides, self.pads = spec.strides, spec.pads
        self.dilations, self.groups = spec.dilations, spec.groups
        self.register_buffer("weight", spec.weight.contiguous())
        # Two rows where a part of the shift is not scaled: the form of the operator's bias says so.
        bias = spec.bias if spec.offset is None else torch.stack([spec.bias, spec.offset])
        self.register_buffer("bias", bias.detach().float().contiguous())
        self.register_buffer("mask", torch.ones(1, spec.weight.shape[0]))
        self.register_buffer("in_active", torch.ones(1, spec.weight.shape[1] * spec.groups))
        self.register_buffer("residual", torch.zeros(1))
        self.gate = spec.gate
        for name in _GATE_OPERANDS[type(spec.gate)]:
            value = getattr(spec.gate, name)
            value = torch.zeros(1) if value is None else value.detach().float().contiguous()
            self.register_buffer(f"gate_{name}", value)

    def forward(self, x: Tensor) -> Tensor:
        """Emit the nodes; x [N, Ci, H, W] -> [N, Co, H', W']."""
        scale, shift = self._emit_gate(x)
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{GATED_CONV}",
            (x, self.weight, scale, shift, self.in_active, self.residual),
            {
                "layer": self.layer,
                "strides": list(self.strides),
                "pads": list(self.pads),
                "dilations": list(self.dilations),
                "group": self.groups,
                "act_min": -math.inf,
                "act_max": math.inf,
            },
            dtype=x.dtype,
            shape=(
                x.shape[0],
                self.weight.shape[0],
                *output_hw(x, self.weight, self.strides, self.pads, self.dilations),
            ),
            version=1,
        )

    def _emit_gate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        operands = [getattr(self, f"gate_{name}") for name in _GATE_OPERANDS[type(self.gate)]]
        attributes: dict[str, Any] = {"layer": self.layer}
        if isinstance(self.gate, SharedGate):
            name, inputs = SHARED_GATE, [self.bias]
            attributes.update(leaders=self.leaders, widths=self.widths)
        elif isinstance(self.gate, StaticGate):
            name, inputs = STATIC_GATE, [*operands, self.bias, self.mask]
        else:
            read = torch.abs(x) if self.gate.magnitude else x
            name, inputs = CHANNEL_GATE, [read, *operands, self.bias, self.mask]
            attributes.update(threshold=float(self.gate.threshold), k=int(self.gate.k))
        shape = (x.shape[0], int(self.weight.shape[0]))
        scale, shift = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::{name}", inputs, attributes, dtypes=(x.dtype, x.dtype), shapes=(shape, shape), version=1
        )
        return scale, shift


def lower(model: nn.Module) -> tuple[nn.Module, dict[str, GatedConvSpec]]:
    """A copy of `model` in evaluation mode with every gated layer lowered, and the specs by layer name.

    A network without gates is copied as it is. Raises ExportError if it mixes gates of different forms.
    """
    lowered = copy.deepcopy(model).cpu().eval()
    specs: dict[str, GatedConvSpec] = {}
    names = {module: name for name, module in model.named_modules()}
    for name, module in model.named_modules():
        if isinstance(module, ExportsPixelGatedConv):
            pixel_spec = module.pixel_gated_conv_spec()
            _check_finite(name, vars(pixel_spec))
            _replace(lowered, name, LoweredPixelGatedConv(name, pixel_spec))
        elif isinstance(module, ExportsGatedConv):
            spec = module.gated_conv_spec()
            _check_finite(name, {**vars(spec), **vars(spec.gate)})
            _check_static(name, spec)
            specs[name] = spec
            _replace(lowered, name, LoweredGatedConv(name, spec, names))
    forms = {(spec.gate.w1 is None, spec.offset is None) for spec in specs.values() if isinstance(spec.gate, SpmGate)}
    if len(forms) > 1:
        raise ExportError(
            "the model mixes gates with and without a hidden layer, or with and without an offset, and one ONNX file "
            "can hold the function body of one form only; use the same gate policy in every layer"
        )
    return lowered, specs


def _check_finite(name: str, values: Mapping[str, object]) -> None:
    for what, value in values.items():
        if isinstance(value, Tensor) and not torch.isfinite(value).all():
            raise ExportError(
                f"layer {name}: {what} holds NaN or infinity, expected finite numbers; "
                "the checkpoint comes from a diverged run: train again from the last good one"
            )


def _check_static(name: str, spec: GatedConvSpec) -> None:
    if isinstance(spec.gate, StaticGate) and (spec.gate.scale < 0).any():
        raise ExportError(f"layer {name}: its static gate has a negative scale; scales must be zero or positive")


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
