"""What gated layers are to the rooms that only look at a network from outside."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from sanp_runtime.network.support import Dense, Gate, Support, concat


class GatedLayer(nn.Module):
    """A module that is traced as one: a convolution whose output channels are switched per sample.

    conv: the convolution; norm: its batch norm, or an Identity. A base class and no protocol: since Python 3.12
    `isinstance` of a protocol does not see the submodules of a module.
    """

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | nn.Identity
    # How the convolution and its norm are computed instead, while a network is trained for bytes.
    rounding: Callable[[nn.Conv2d, nn.Module, Tensor], Tensor] | None = None

    def convolved(self, x: Tensor) -> Tensor:
        """norm(conv(x)), [N, C_in, H, W] -> [N, C_out, H', W']."""
        if self.rounding is not None:
            return self.rounding(self.conv, self.norm, x)
        y: Tensor = self.norm(self.conv(x))
        return y

    @property
    def leaders(self) -> tuple[GatedLayer | int, ...]:
        """Empty for a layer with a gate of its own; else the layers whose gates decide, see `FollowingConv`."""
        return ()

    @property
    def gate_hidden(self) -> int:
        """Hidden width of the saliency module that inference pays for, 0 if the gate has none."""
        raise NotImplementedError

    @property
    def gate_direct(self) -> bool:
        """Whether the saliency module is one fully connected layer, without a hidden one."""
        return False


def followed(layer: GatedLayer, network: nn.Module) -> Support | None:
    """The gates that decide for a layer, by the names that they have in `network`; None if it has its own."""
    if not layer.leaders:
        return None
    names = {module: name for name, module in network.named_modules()}
    return concat([Dense(item) if isinstance(item, int) else Gate(names[item]) for item in layer.leaders])


class PixelGatedLayer(nn.Module):
    """A module that is traced as one: a convolution of which every output pixel takes a short path or the whole one.

    Every output channel exists for every sample, so nothing about supports changes. conv: the convolution. base_share:
    share of its products that the short path has. open: share of pixels that took the whole path in the last forward
    pass, [N, C_out].
    """

    conv: nn.Conv2d

    @property
    def base_share(self) -> float:
        """Share of the products of the convolution that every pixel computes."""
        raise NotImplementedError

    @property
    def open(self) -> Tensor:
        """Share of the pixels of each channel that were computed whole in the last forward pass, [N, C_out]."""
        raise NotImplementedError
