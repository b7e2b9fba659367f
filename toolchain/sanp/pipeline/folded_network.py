"""The PyTorch network whose gates do what a folded bundle does: what such a bundle is validated with."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.gating import Decision, GatePolicy, gated_layers
from sanp.gating.top_k import top_k_mask
from sanp_export.spec import SpmGate, StaticGate
from sanp_runtime.bundle.reference import Reference
from sanp_targets.errors import InputError


class FoldedGate(GatePolicy):
    """A gate whose removed channels are closed for every sample, or that has one scale for all of them.

    kept: bool [Co]. scale: float32 [Co], 0 = closed, where the gate has gone; None where it stays.
    """

    def __init__(self, gate: GatePolicy, kept: Tensor, scale: Tensor | None) -> None:
        super().__init__()
        self.inner, self.kept, self.scale = gate, kept, scale
        self.spec = gate.export()

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision of evaluation mode."""
        if self.scale is not None:
            scale = self.scale.expand(len(x), -1)
            return Decision(scale, scale, (scale > 0).float())
        decision: Decision = self.inner(x)
        if isinstance(self.spec, StaticGate):
            return Decision(decision.u, decision.scale * self.kept, decision.mask * self.kept)
        # A removed channel takes no rank among the k largest: its saliency is below every bound.
        u = torch.where(self.kept, decision.u, -1.0)
        s = F.relu(u)
        mask = top_k_mask(s, self.spec.k or s.shape[1], self.spec.threshold)
        return Decision(u, s * mask, mask)

    def export(self) -> SpmGate | StaticGate:
        """What decides: threshold and k, for the margins."""
        return self.spec if self.scale is None else StaticGate(self.scale)


def fold_network(model: nn.Module, rows: Mapping[str, Any], where: str) -> nn.Module:
    """A copy of a gated network with the gates of the folded one; rows: `Manifest.fold`, where: the bundle, for errors.

    Raises InputError if the network is not the one that was folded.
    """
    folded = copy.deepcopy(model).cpu().eval()
    layers = gated_layers(folded)
    widths = {name: layer.conv.out_channels for name, layer in layers.items()}
    if widths != {name: row["before"] for name, row in rows.items()}:
        raise InputError(
            f"the checkpoint has {len(widths)} gated layers, {where} was folded from {len(rows)}, or widths differ; "
            "validate a bundle with the checkpoint it was exported from"
        )
    for name, row in rows.items():
        kept = torch.zeros(row["before"], dtype=torch.bool)
        kept[row["kept"]] = True
        scale = None
        if row["gate"] != "stays":
            scale = torch.zeros(row["before"])
            scale[row["kept"]] = torch.tensor(row["scale"], dtype=torch.float32)
        layers[name].gate = FoldedGate(layers[name].gate, kept, scale)
    return folded


def fold_answers(answers: Reference, rows: Mapping[str, Any]) -> Reference:
    """Answers of `fold_network` with the columns and layers that the folded bundle has."""
    stays = {name: row["kept"] for name, row in rows.items() if row["gate"] == "stays"}

    def part(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.ascontiguousarray(values[name][:, kept]) for name, kept in stays.items() if name in values}

    return Reference(
        answers.x,
        answers.labels,
        answers.outputs,
        part(answers.scales),
        part(answers.saliency),
        answers.exact,
        answers.own_error,
        {size: fold_answers(other, rows) for size, other in answers.sizes.items()},
    )
