"""FBS: feature boosting and suppression (Gao et al., ICLR 2019): the most salient channels of each sample, boosted."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.cost.calibration import largest_share
from sanp.cost.channel_plan import plan_channels
from sanp.cost.controller import Control
from sanp.data.batch import Batch
from sanp.gating.attach import gated_layers
from sanp.gating.controls import set_density
from sanp.gating.gated_conv import GatedConv
from sanp.gating.policy import Decision, GatePolicy, full_precision
from sanp.gating.saliency import pooled
from sanp.gating.top_k import KeepsChannels, check_density, top_k_mask
from sanp.methods.gated import CHANNELS, GatedMethod, GatedSettings, settled_cost, with_channels
from sanp.methods.stage import Context, Length, Task
from sanp.methods.stages.joint import Observed
from sanp_export.spec import GatedConvSpec, SpmGate

# A filter whose batch norm has no scale left still has its shift: it starts at this scale, open.
_LEAST_SCALE = 1e-3

# A measured cost this near to the budget needs no other channels.
_CLOSE = 0.01


class BoostGate(KeepsChannels, GatePolicy):
    """g = relu(W mean|x| + rho); the k largest of each sample stay open, ties close.

    k is ceil(density * C_out), or what a plan gives the layer.

    g scales the normalised convolution in place of the batch norm's scale. The gradient flows through g of open
    channels. scale [C_out]: what g starts at; W is small beside it, normal with standard deviation init_std * scale.
    """

    gate_direct = True

    def __init__(self, c_in: int, scale: Tensor, density: float, init_std: float) -> None:
        super().__init__()
        self.fc = nn.Linear(c_in, len(scale))
        with torch.no_grad():
            nn.init.trunc_normal_(self.fc.weight, std=1.0, a=-2.0, b=2.0)
            self.fc.weight.mul_(init_std * scale[:, None].to(self.fc.weight))
            self.fc.bias.copy_(scale)
        self.set_density(check_density(density))

    @property
    def c_out(self) -> int:
        """Output channels of the layer."""
        return self.fc.out_features

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision with at most k open channels per sample; the same in training."""
        with full_precision(x):
            u = self.fc(pooled(x.abs()))
        s = F.relu(u)
        mask = top_k_mask(s.detach(), self.k)
        return Decision(u, s * mask, mask)

    def export(self) -> SpmGate:
        """One fully connected layer on |x|, with k (0 when every channel may stay open)."""
        weight, bias = self.fc.weight.detach().clone(), self.fc.bias.detach().clone()
        return SpmGate(None, None, weight, bias, k=self.exported_k, magnitude=True)


class BoostedConv(GatedConv):
    """mask * (g * norm(conv(x)) + beta), the batch norm without scale and shift of its own.

    Made from a trained convolution and its batch norm: the norm's scale moves into the gate, its shift becomes beta. A
    negative scale has no place in g, which is never negative: that filter changes its sign instead, which is exact.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, density: float, init_std: float) -> None:
        scale = torch.ones(conv.out_channels) if norm.weight is None else norm.weight.detach().float().cpu()
        shift = torch.zeros(conv.out_channels) if norm.bias is None else norm.bias.detach().float().cpu()
        plain = _plain_norm(norm)
        _flip(conv, plain, torch.where(scale < 0, -1.0, 1.0))
        gate = BoostGate(conv.in_channels, scale.abs().clamp(min=_LEAST_SCALE), density, init_std)
        super().__init__(conv, plain, gate)
        self.beta = nn.Parameter(shift.clone())

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H', W']."""
        decision = self.gate(x)
        self.decision = decision
        y = self.convolved(x)
        shift = decision.mask * self.beta
        return y * decision.scale[:, :, None, None].to(y.dtype) + shift[:, :, None, None].to(y.dtype)

    def gated_conv_spec(self) -> GatedConvSpec:
        """The folded convolution, with beta as the part of the shift that the gate switches and does not scale."""
        return replace(super().gated_conv_spec(), offset=self.beta.detach().clone())


def _plain_norm(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """The same statistics without scale and shift."""
    plain = nn.BatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum, affine=False)
    plain.load_state_dict({name: value for name, value in norm.state_dict().items() if name not in ("weight", "bias")})
    return plain


@torch.no_grad()
def _flip(conv: nn.Conv2d, norm: nn.BatchNorm2d, sign: Tensor) -> None:
    """Multiply every filter by its sign, with the mean of its output."""
    sign = sign.to(conv.weight.device)
    conv.weight.mul_(sign[:, None, None, None])
    if conv.bias is not None:
        conv.bias.mul_(sign)
    assert norm.running_mean is not None
    norm.running_mean.mul_(sign.to(norm.running_mean.device))


class FbsSettings(GatedSettings):
    """Options of FBS."""

    density: float = Field(1.0, gt=0, le=1, description="share of channels that stay open; training sets it")
    channels: dict[str, int] = Field({}, description=CHANNELS)
    schedule: Literal["steps", "direct"] = Field(
        "steps", description="how the joint stage reaches the density of the budget: in steps, or from its first epoch"
    )
    density_step: float = Field(0.1, gt=0, le=1, description="step by which the density is lowered")
    init_std: float = Field(0.05, ge=0, le=1, description="initial weights of a gate, beside a bias of 1")
    l1: float = Field(1e-8, ge=0, le=1, description="weight of the sum of all saliencies in the loss")
    calibrate: bool = Field(
        True, description="set other numbers of channels at the end if the measured cost is not the budget"
    )


class LowerDensity(Observed):
    """The density falls in steps over the first `ramp` of the stage; the loss has a small term on the saliencies."""

    def __init__(self, context: Context, length: Length, control: Control, settings: FbsSettings) -> None:
        super().__init__(context, length, control)
        self.settings = settings
        self.layers = gated_layers(context.network)
        self.plan = plan_channels(self.tracker, context.train.budget)

    def density(self, epoch: int) -> float:
        """The density of an epoch."""
        own = self.settings
        last = self.plan.density
        steps = max(1, math.ceil((1.0 - last) / own.density_step - 1e-9))
        share = (epoch + 1) / max(1.0, own.ramp * self.length.epochs)
        if own.schedule == "direct" or share >= 1:
            return last
        return max(last, 1.0 - own.density_step * math.ceil(share * steps - 1e-9))

    def before_epoch(self, epoch: int) -> None:
        """Set the density of this epoch; the last one comes with the plan of whole channels."""
        density = self.density(epoch)
        set_density(self.context.network, density, self.plan.channels if density == self.plan.density else {})

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The loss + l1 * sum of all saliencies, mean over samples."""
        loss = super().loss(outputs, batch)
        if not self.settings.l1:
            return loss
        saliency = torch.cat([layer.saliency for layer in self.layers.values()], dim=1)
        return loss + self.settings.l1 * saliency.sum(1).mean()


class Fbs(GatedMethod):
    """The most salient channels of each sample, the same share in every layer, scaled by their saliency."""

    Settings = FbsSettings

    def make_layer(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity) -> GatedConv | str:
        """The boosted convolution, with what the batch norm has learned."""
        if isinstance(norm, nn.Identity):
            return "it has no batch norm, whose scale the gate takes over"
        return BoostedConv(conv, norm, self.settings.density, self.settings.init_std)

    def attach(self, network: nn.Module, example_input: Tensor) -> nn.Module:
        """A gated copy of the network, with the channels of each layer that training has planned."""
        return with_channels(super().attach(network, example_input), self.settings.density, self.settings.channels)

    def task(self, context: Context, length: Length) -> Task:
        """The falling density."""
        own = self.settings
        return LowerDensity(context, length, Control(context.train.budget, own.ramp, window=own.window), own)

    def finish(self, context: Context) -> bool:
        """Set the channels that are planned for the budget; other ones if the measured cost is off by a point.

        Other channels than training had cost accuracy: a pilot lost 4 points to 5 % of them.
        """
        before = context.network.gating
        tracker, budget = context.tracker(), context.train.budget

        def cost(share: float) -> float:
            plan = plan_channels(tracker, share)
            set_density(context.network, plan.density, plan.channels)
            return settled_cost(context, tracker)

        if abs(cost(budget) - budget) > _CLOSE and self.settings.calibrate:
            cost(largest_share(cost, budget))
        return before != context.network.gating
