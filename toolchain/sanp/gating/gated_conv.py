"""A convolution whose output channels are switched and scaled per sample."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sanp.gating.geometry import spec_of
from sanp.gating.policy import Decision, GatePolicy
from sanp.tracing.gated_layer import GatedLayer
from sanp_export.spec import GatedConvSpec


class GatedConv(GatedLayer):
    """y = scale(x)[:, :, None, None] * norm(conv(x)) (arXiv 1910.08906 eq. 3).

    norm is an Identity where the convolution has none. The activation stays where the backbone has it. A closed channel
    is exactly zero, because the offset of the batch norm is inside the gate. In training every channel is computed;
    skipping is the device's business.

    `decision` is what the gate said in the last forward pass (None before the first); in training it holds the graph.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity, gate: GatePolicy) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm
        self.gate = gate
        self.decision: Decision | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H', W']."""
        decision = self.gate(x)
        self.decision = decision
        y = self.convolved(x)
        return y * decision.scale[:, :, None, None].to(y.dtype)

    def _last(self) -> Decision:
        if self.decision is None:
            raise RuntimeError("the gated layer has not run yet; pass a batch through the network first")
        return self.decision

    @property
    def u(self) -> Tensor:
        """Saliency before its ReLU in the last forward pass, [N, C_out]."""
        return self._last().u

    @property
    def saliency(self) -> Tensor:
        """relu(u) of the last forward pass, [N, C_out]."""
        return self._last().s

    @property
    def scale(self) -> Tensor:
        """The factor applied in the last forward pass, [N, C_out]."""
        return self._last().scale

    @property
    def mask(self) -> Tensor:
        """Hard, noise-free 0/1 mask of the last forward pass, [N, C_out]."""
        return self._last().mask

    @property
    def gate_hidden(self) -> int:
        """Hidden width of the saliency module that inference pays for, 0 if the gate has none."""
        return self.gate.gate_hidden

    @property
    def gate_direct(self) -> bool:
        """Whether the saliency module is one fully connected layer, without a hidden one."""
        return self.gate.gate_direct

    def gated_conv_spec(self) -> GatedConvSpec:
        """Evaluation-mode parameters for the exporter, batch norm folded; detached copies."""
        return spec_of(self.conv, self.norm, self.gate.export())

    def __getstate__(self) -> dict[str, Any]:
        # The decision belongs to one forward pass; tensors inside an autograd graph cannot be copied.
        return {**self.__dict__, "decision": None}
