"""What decides, per sample or for good, which output channels of a convolution are computed: the interface."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.data.batch import Batch
from sanp_export.spec import SpmGate, StaticGate


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Switches autocast off around a gate: decisions must not depend on half precision."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


@dataclass(frozen=True)
class Decision:
    """What a gate said in one forward pass; all tensors are [N, C_out] float32.

    u: saliency before its ReLU. scale: the factor really applied (with noise while training).
    mask: hard, noise-free 0/1, detached; cost and statistics are counted from it.
    """

    u: Tensor
    scale: Tensor
    mask: Tensor

    @property
    def s(self) -> Tensor:
        """relu(u), computed on demand: a training step does not need it layer by layer."""
        return F.relu(self.u)


class GatePolicy(nn.Module):
    """Base: maps the input of a convolution to a Decision.

    What inference pays for: `gate_hidden` is the hidden width of the saliency module, 0 if there is none; `gate_direct`
    says that the module is one fully connected layer from the input channels to the gates.
    """

    gate_hidden = 0
    gate_direct = False

    def tell(self, batch: Batch) -> None:
        """Called before the network runs on `batch`; a gate that only looks at its input ignores it."""

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision with tensors [N, C_out]."""
        raise NotImplementedError

    def export(self) -> SpmGate | StaticGate:
        """The evaluation-mode gate for the exporter; ExportError if it cannot be described."""
        raise NotImplementedError
