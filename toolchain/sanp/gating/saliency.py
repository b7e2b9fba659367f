"""How saliencies are computed: descriptors of a sample, the two-layer network, and the semantic-hashing gate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_STRETCH, _SHIFT = 1.2, 0.1  # saturating sigmoid of Kaiser and Sutskever; its midpoint is at 0, so the hard test is > 0


class SaliencyNet(nn.Module):
    """FC, ReLU, FC on a descriptor: u = w2 relu(w1 z + b1) + b2 (arXiv 1910.08906 eq. 6 before its outer ReLU).

    The output bias starts at 1 and the output weights small, so that every gate is open at the start and the gated
    network begins close to the pretrained one. Biases are our addition: without b2 a sample that closes a whole layer
    would close every later layer too.

    standardise: subtract the mean of each descriptor channel and divide by its standard deviation (running statistics,
    folded into w1 and b1 at export). Pooled activations of different samples differ by a fraction of their mean;
    without it the first layer sees almost a constant and gates hardly depend on the sample.
    """

    def __init__(self, c_in: int, c_out: int, hidden: int, standardise: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(c_in, eps=1e-4, affine=False) if standardise else None
        self.fc1 = nn.Linear(c_in, hidden)
        self.fc2 = nn.Linear(hidden, c_out)
        nn.init.kaiming_normal_(self.fc1.weight)
        nn.init.zeros_(self.fc1.bias)
        nn.init.trunc_normal_(self.fc2.weight, std=0.05, a=-0.1, b=0.1)
        nn.init.ones_(self.fc2.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Descriptor float32 [N, c_in] -> u float32 [N, c_out].

        In evaluation it uses the folded weights, so that PyTorch rounds as the exported gate does.
        """
        if self.norm is None:
            hidden = self.fc1(z)
        elif self.norm.training:
            hidden = self.fc1(self.norm(z))
        else:
            hidden = F.linear(z, *self._first())
        return self.fc2(F.relu(hidden))

    def _first(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the first layer on the raw descriptor; folded in float64."""
        if self.norm is None or self.norm.running_mean is None or self.norm.running_var is None:
            return self.fc1.weight, self.fc1.bias
        weight = self.fc1.weight.double() / torch.sqrt(self.norm.running_var.double() + self.norm.eps)
        bias = self.fc1.bias.double() - weight @ self.norm.running_mean.double()
        return weight.float(), bias.float()

    def folded(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """w1, b1, w2, b2 of the evaluation-mode network on the raw descriptor, detached float32 copies."""
        w1, b1 = self._first()
        rows = (w1, b1, self.fc2.weight, self.fc2.bias)
        return rows[0].detach().clone(), rows[1].detach().clone(), rows[2].detach().clone(), rows[3].detach().clone()


def saturating_sigmoid(x: Tensor) -> Tensor:
    """clip(1.2 * sigmoid(x) - 0.1, 0, 1): reaches 0 and 1 at finite x (arXiv 1910.08906 eq. 7)."""
    return torch.clamp(_STRETCH * torch.sigmoid(x) - _SHIFT, 0.0, 1.0)


class _HashedScale(torch.autograd.Function):
    """gate * s with its gradient in closed form: one saved tensor and one product instead of twenty small nodes.

    Half of a gate's time is the start of small operations, hence aten's fused derivatives of sigmoid and clamp.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, noise: Tensor, is_soft: Tensor) -> Tensor:
        s = u.clamp(min=0)
        noisy = s + noise
        sigmoid = noisy.sigmoid()
        stretched = (_STRETCH * sigmoid).sub_(_SHIFT)
        gate = torch.where(is_soft, stretched.clamp(0, 1), noisy.heaviside(noisy.new_zeros(())))
        slope = torch.ops.aten.hardtanh_backward(
            torch.ops.aten.sigmoid_backward(s, sigmoid), stretched, 0.0, 1.0
        )  # s * sigmoid' where the clamp does not bite
        ctx.save_for_backward(gate.add(slope, alpha=_STRETCH))
        return gate * s

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grad * slope, None, None


def hashed_scale(u: Tensor, noise: float, soft_share: float = 0.5) -> Tensor:
    """Training scale g * s of improved semantic hashing, [N, C] (arXiv 1910.08906 eq. 3, 6, 7 and 8), s = relu(u).

    g is per element soft, v = saturating_sigmoid(s + n), or hard, 1[s + n > 0]; soft with probability soft_share
    (one half as published). The gradient is always that of v * s, passed straight through the ReLU of s, so that a
    gate that is closed on every sample can hear from the loss. In a residual block it does; in a plain network the ReLU
    behind the layer has no gradient at 0 either, and gates come back through the samples on which they are open.
    """
    drawn = torch.empty_like(u, requires_grad=False).normal_(0.0, noise)
    return _HashedScale.apply(u, drawn, torch.rand_like(u) < soft_share)


class _Pool(torch.autograd.Function):
    """The mean over pixels in float32 of a map in any type. Neither the map nor its gradient is copied in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = x.shape, x.dtype
        return x.sum(dim=(2, 3), dtype=torch.float32) / (x.shape[2] * x.shape[3])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        each = grad / (ctx.shape[2] * ctx.shape[3])
        return each.to(ctx.dtype)[:, :, None, None].expand(ctx.shape)  # a view


def pooled(x: Tensor) -> Tensor:
    """Global average pool of [N, C, H, W] in float32, also under autocast: gates are compared across machines."""
    pool: Tensor = _Pool.apply(x)
    return pool
