"""What a method is: its settings, how it attaches to a network, its stages, and how it finishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from sanp.data.dataset import Dataset
from sanp.methods.stage import Context, Stage
from sanp.settings.base import Settings
from sanp.settings.train import TrainSettings


class MethodSettings(Settings):
    """Base of the options of a method: immutable, unknown keys are errors."""


class Method:
    """Base of all methods. A method is a subclass in a file of its own and a line in `sanp.methods.registry`.

    Settings: its own options. needs: arrays beside images and labels that its data set must have, such as "mode".
    gates: whether `attach` adds gates; such a network can be gated by `sanp.gate` and exported. floor_holds: what the
    least cost consists of, for the sentence that refuses a budget. budgeted: False for a control that has no budget to
    meet. timed: whether its budget may be a latency: it closes channels of layers that keep their shapes. bytes:
    whether its network can become an int8 bundle, and so be trained for one: its gates switch channels.
    """

    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    needs: ClassVar[tuple[str, ...]] = ()
    gates: ClassVar[bool] = False
    budgeted: ClassVar[bool] = True
    timed: ClassVar[bool] = False
    bytes: ClassVar[bool] = False
    floor_holds: ClassVar[str] = "the gates, the layers without a gate and one open channel in each of the others"

    def __init__(self, name: str, settings: Any) -> None:
        self.name, self.settings = name, settings

    @classmethod
    def fitted(cls, options: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
        """The options for this data set: values that follow from it are filled in."""
        return dict(options)

    def attach(self, network: nn.Module, example_input: Tensor) -> nn.Module:
        """The network with whatever the method adds to it; also used to rebuild one from a checkpoint."""
        return network

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """What a training run does, in order."""
        raise NotImplementedError

    def floor(self, context: Context) -> float:
        """Least cost that the method can reach, as a share of the dense cost; a budget below it is refused."""
        return 0.0

    def finish(self, context: Context) -> bool:
        """After the last stage: meet the budget exactly. Returns whether the network was changed."""
        return False
