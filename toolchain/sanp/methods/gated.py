"""What methods with channel gates share: their options, the warm-up and joint stages, and calibration."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from sanp.cost.calibration import smallest_threshold
from sanp.cost.controller import Control
from sanp.cost.gate_rates import not_worth
from sanp.cost.tracker import CostTracker
from sanp.gating.attach import GatingReport, attach_gates, gated_layers
from sanp.gating.controls import set_density, set_threshold
from sanp.gating.gated_conv import GatedConv
from sanp.gating.policy import GatePolicy
from sanp.methods.base import Method, MethodSettings
from sanp.methods.stage import Context, Length, Stage, Task
from sanp.methods.stages.joint import FollowDensity, Penalised, joint, open_for
from sanp.methods.stages.pretrain import pretrain
from sanp.methods.stages.warm_up import warm_up
from sanp.settings.train import TrainSettings
from sanp_targets.errors import ConfigError

CALIBRATION_IMAGES = 2048

# Description of the setting that gates with a number of channels have.
CHANNELS = "open channels by layer, where not ceil(density * channels); training sets it"


class GatedSettings(MethodSettings):
    """Options of every method with gates."""

    warmup_epochs: int = Field(4, ge=0, le=10000, description="epochs of the gates alone, backbone frozen")
    joint_epochs: int = Field(60, ge=0, le=10000, description="epochs of everything, against the budget")
    warmup_lr: float = Field(0.01, gt=0, le=10, description="peak learning rate of the warm-up")
    joint_lr: float = Field(0.05, gt=0, le=10, description="peak learning rate of the joint stage")
    gate_lr_scale: float = Field(0.3, gt=0, le=100, description="factor on the joint rate for gate parameters")
    ramp: float = Field(0.5, ge=0, le=1, description="share of the joint stage in which the target falls to the budget")
    window: int = Field(5, ge=1, le=10000, description="steps over which the measured cost is smoothed")
    share: Literal["depthwise", "none"] = Field(
        "depthwise", description="layers that share the decision of the layers that feed them instead of a gate"
    )
    layers: str = Field(
        "all",
        description="convolutions to gate: all, inner (all but linear bottlenecks, for inverted residual blocks), "
        "auto (those whose gate can pay on the target), or names and commas",
    )
    target: str = Field("x86-cpu", description="where gates must pay, for layers = auto")


class SaliencySettings(GatedSettings):
    """Options of methods whose gates have a saliency network."""

    reduction: int = Field(16, ge=1, le=256, description="input channels per hidden unit of a saliency module")
    hidden_min: int = Field(4, ge=1, le=256, description="smallest hidden width of a saliency module")
    threshold: float = Field(0.0, ge=0, description="a channel is open when its saliency exceeds this; calibrated")
    calibrate: bool = Field(True, description="raise the gate threshold at the end if the cost is above the budget")


class PenalisedSettings(SaliencySettings):
    """Options of methods that learn which channels to close from a cost loss."""

    group: int = Field(1, ge=1, le=256, description="neighbouring output channels of a layer that decide together")
    noise: float = Field(0.2, ge=0, le=4, description="standard deviation of the gate noise while training")
    soft_share: float = Field(0.5, ge=0, le=1, description="share of gates that are soft in a training step")
    anneal: float = Field(
        1.0, ge=0, le=1, description="share of the joint stage over which noise and soft gates fade; 0 = off"
    )
    sparsity: Literal["effective", "l1"] = Field(
        "effective", description="form of the cost loss; l1 is the published one"
    )
    cost_gain: float = Field(0.3, ge=0, le=100, description="lambda per unit of cost above the target")
    lambda_min: float = Field(-0.05, ge=-10, le=0, description="smallest weight of the cost loss")
    lambda_max: float = Field(1.0, ge=0, le=100, description="largest weight of the cost loss")
    margin: float = Field(
        0.02, ge=0, le=0.5, description="how far above the budget joint training aims, for calibration"
    )


class GatedMethod(Method):
    """Pretrain, attach the gates, warm them up, then train everything; subclasses say which gate and which task."""

    gates = True
    timed = True
    bytes = True
    Settings: ClassVar[type[MethodSettings]] = GatedSettings

    def make_gate(self, c_in: int, c_out: int) -> GatePolicy:
        """The gate of a layer."""
        raise NotImplementedError

    def make_layer(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | nn.Identity) -> GatedConv | str:
        """The layer that takes the place of a convolution and its batch norm, or why it stays as it is."""
        return GatedConv(conv, norm, self.make_gate(conv.in_channels, conv.out_channels))

    def task(self, context: Context, length: Length) -> Task:
        """What the joint stage does besides learning the labels."""
        raise NotImplementedError

    def attach(self, network: nn.Module, example_input: Tensor) -> nn.Module:
        """A gated copy of the network."""
        own = self.settings
        if own.layers == "inner":
            return _chosen(self._attach(network, example_input, {}, None, bottlenecks=False))
        if own.layers != "auto":
            only = None if own.layers == "all" else [name.strip() for name in own.layers.split(",")]
            return self._attach(network, example_input, {}, only)
        reasons: dict[str, str] = {}
        while True:
            gated = self._attach(network, example_input, reasons, None)
            fresh = not_worth(gated, example_input, own.target)
            if not fresh:
                return _chosen(gated)
            reasons.update(fresh)  # what is left saves less, because less is closed around it

    def _attach(
        self,
        network: nn.Module,
        example_input: Tensor,
        leave_out: Mapping[str, str],
        only: Collection[str] | None,
        bottlenecks: bool = True,
    ) -> nn.Module:
        options, share = self.settings.model_dump(mode="json"), self.settings.share == "depthwise"
        return attach_gates(
            network, example_input, self.make_layer, self.name, options, share, leave_out, only, bottlenecks
        )

    def prepare(self, context: Context) -> nn.Module:
        """The network with its gates."""
        return self.attach(context.network, context.example)

    def floor(self, context: Context) -> float:
        """What the gates, the layers without one, and a single channel in each of the others cost."""
        return replace(context, network=self.prepare(context)).tracker().floor()

    def stages(self, train: TrainSettings) -> tuple[Stage, ...]:
        """pretrain, warmup, joint."""
        own = self.settings
        return (
            pretrain(train),
            warm_up(own.warmup_epochs, own.warmup_lr, self.prepare),
            joint(train, own.joint_epochs, own.joint_lr, own.gate_lr_scale, self.task),
        )


def _chosen(gated: nn.Module) -> nn.Module:
    """A gated network whose checkpoint names its layers, so that it is not asked to choose again."""
    report: GatingReport = gated.gating  # type: ignore[assignment]
    gated.gating = replace(report, options={**report.options, "layers": ",".join(report.norms)})  # type: ignore[assignment]
    return gated


class PenalisedMethod(GatedMethod):
    """Learns which channels to close from a cost loss; the threshold takes away the rest."""

    Settings = PenalisedSettings

    def control(self, budget: float) -> Control:
        """Training aims above the budget where calibration follows: masks cost a little less in evaluation than in
        training, and calibration can only close gates."""
        own = self.settings
        goal = min(1.0, budget + (own.margin if own.calibrate else 0.0))
        return Control(goal, own.ramp, own.cost_gain, own.lambda_min, own.lambda_max, own.window)

    def task(self, context: Context, length: Length) -> Task:
        """The cost loss, against the budget."""
        own = self.settings
        return Penalised(context, length, self.control(context.train.budget), own.sparsity, own.anneal)

    def finish(self, context: Context) -> bool:
        """Raise the threshold if the network costs more than the budget."""
        return self.settings.calibrate and calibrate_threshold(context) > 0


class DensityMethod(GatedMethod):
    """Opens the same share of channels in every layer, up to whole ones: what is expected to cost the budget."""

    def task(self, context: Context, length: Length) -> Task:
        """The density follows the falling target."""
        return FollowDensity(
            context, length, Control(context.train.budget, self.settings.ramp, window=self.settings.window)
        )

    def finish(self, context: Context) -> bool:
        """Open what the budget allows, also when there was no joint stage."""
        before = context.network.gating
        open_for(context.network, context.tracker(), context.train.budget)
        return before != context.network.gating


def with_channels(network: nn.Module, density: float, channels: Mapping[str, int]) -> nn.Module:
    """The network with the open channels of these layers set; ConfigError for a layer or number that it has not."""
    layers = gated_layers(network)
    for name, count in channels.items():
        if name not in layers or not 1 <= count <= layers[name].conv.out_channels:
            most = (
                f"1 to {layers[name].conv.out_channels} channels" if name in layers else f"one of {', '.join(layers)}"
            )
            raise ConfigError(f"channels has {name} = {count}, expected {most}; leave the setting to training")
    if channels:
        set_density(network, density, channels)
    return network


def settled_cost(context: Context, tracker: CostTracker) -> float:
    """Mean cost on training images, as a share, with the batch-norm statistics that the gates of now lead to.

    With those of before, a calibrated network of a short run ended up to 7 points off its budget.
    """
    context.recalibrate(context.network)
    return context.mean_cost(tracker, CALIBRATION_IMAGES)


def calibrate_threshold(context: Context) -> float:
    """Set the smallest threshold from 0 on at which the training images cost at most the budget, and return it."""
    tracker = context.tracker()

    def cost(threshold: float) -> float:
        set_threshold(context.network, threshold)
        return settled_cost(context, tracker)

    threshold = smallest_threshold(cost, context.train.budget)
    set_threshold(context.network, threshold)
    return threshold
