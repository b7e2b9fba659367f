"""What methods that remove channels share: caps and multiples, the groups of a network, and the least cost."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from sanp.methods.base import Method, MethodSettings
from sanp.methods.stage import Context, Group
from sanp.pruning.check import channel_groups
from sanp.pruning.groups import Groups
from sanp.pruning.selection import Limits, floor
from sanp.pruning.width_cost import WidthCost
from sanp.settings.train import TrainSettings


class RemovalSettings(MethodSettings):
    """Options of every method that removes channels."""

    cap: float = Field(0.9, gt=0, le=1, description="largest share of a layer's channels that may leave; one stays")
    multiple: int = Field(
        1, ge=1, le=256, description="keep widths to multiples of this, such as 8 or 16, which kernels compute at once"
    )
    coupled: bool = Field(
        True, description="remove channels of residual streams too; no: only those that one convolution writes"
    )

    def limits(self) -> Limits:
        """Cap and multiple."""
        return Limits(self.cap, self.multiple)


class RemovalMethod(Method):
    """A method whose network is an ordinary one with fewer channels."""

    Settings: ClassVar[type[MethodSettings]] = RemovalSettings
    floor_holds = "the layers that keep their channels and what the cap and the multiple leave of the others"

    def groups(self, context: Context) -> Groups:
        """The channels that this method may remove; ConfigError if there are none."""
        found = channel_groups(context.network, context.example)
        return found if self.settings.coupled else found.inner()

    def cost(self, context: Context, groups: Groups) -> WidthCost:
        """What removals cost, in the unit of the budget, as shares of the backbone as it was built."""
        return WidthCost(context.network, context.example, groups, context.counter, context.full)

    def floor(self, context: Context) -> float:
        """What is left when every layer has lost as much as it may."""
        groups = self.groups(context)
        least = floor(groups, self.cost(context, groups), self.settings.limits())
        # The budget has to be above the floor; here it may be equal.
        return least - 1e-9


def everything(train: TrainSettings, network: nn.Module) -> list[Group]:
    """All parameters learn, with weight decay."""
    return [Group(list(network.parameters()), 1.0, train.weight_decay)]
