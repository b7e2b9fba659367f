"""Every knob of a training run, with its bounds and what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from sanp.settings.base import Settings

DEMO: dict[str, Any] = {"width": 0.25, "pretrain_epochs": 16, "warmup_epochs": 4, "joint_epochs": 60}


class TrainConfig(Settings):
    """Configuration of `train`; immutable, unknown keys are errors. The defaults suit small images on a CPU."""

    section: ClassVar[str] = "train"

    model: str = Field("m-cifarnet", description="backbone, one of sanp.models.NAMES")
    width: float = Field(1.0, gt=0, le=8, description="factor on every channel count of the backbone")
    dataset: str = Field("digits", description="data set, one of sanp.data.NAMES")
    data_root: Path | None = Field(None, description="folder of the data set's files, for sets that are not bundled")
    data_options: dict[str, int | float | str | bool] = Field(
        default_factory=dict, description="knobs of the data set, such as modes, cue and leak of mixcues"
    )
    image_size: int = Field(32, ge=16, le=512, description="height and width of the images in pixels")

    policy: Literal["sanp", "fixed-k", "static", "random", "oracle"] = Field("sanp", description="what decides")
    budget: float = Field(0.35, gt=0, le=1, description="mean MACs to reach, as a share of the dense network")
    reduction: int = Field(16, ge=1, le=256, description="input channels per hidden unit of a saliency module")
    hidden_min: int = Field(4, ge=1, le=256, description="smallest hidden width of a saliency module")
    noise: float = Field(0.2, ge=0, le=4, description="standard deviation of the gate noise while training")
    soft_share: float = Field(0.5, ge=0, le=1, description="share of gates that are soft in a training step")
    anneal: float = Field(
        1.0, ge=0, le=1, description="share of the joint stage over which noise and soft gates fade; 0 = off"
    )
    standardise: bool = Field(True, description="standardise pooled inputs of the saliency modules")

    pretrained: Path | None = Field(None, description="checkpoint whose backbone replaces the pretraining stage")
    pretrain_epochs: int = Field(16, ge=0, le=10000, description="epochs of the backbone alone")
    warmup_epochs: int = Field(4, ge=0, le=10000, description="epochs of the gates alone, backbone frozen")
    joint_epochs: int = Field(60, ge=0, le=10000, description="epochs of everything, against the budget")
    batch_size: int = Field(64, ge=2, le=65536, description="samples per step, over all processes")
    lr: float = Field(0.05, gt=0, le=10, description="peak learning rate of pretraining")
    warmup_lr: float = Field(0.01, gt=0, le=10, description="peak learning rate of the warm-up")
    joint_lr: float = Field(0.05, gt=0, le=10, description="peak learning rate of the joint stage")
    gate_lr_scale: float = Field(0.3, gt=0, le=100, description="factor on the joint rate for gate parameters")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD (Nesterov)")
    weight_decay: float = Field(5e-4, ge=0, le=1, description="weight decay of the backbone; gates have none")
    clip_norm: float = Field(5.0, gt=0, description="largest norm of the gradient")
    augment: bool = Field(True, description="random shifts, and mirroring where the data set allows it")

    sparsity: Literal["effective", "l1"] = Field(
        "effective", description="form of the cost loss; l1 is the published one"
    )
    cost_gain: float = Field(0.3, ge=0, le=100, description="lambda per unit of cost above the target")
    lambda_min: float = Field(-0.05, ge=-10, le=0, description="smallest weight of the cost loss")
    lambda_max: float = Field(1.0, ge=0, le=100, description="largest weight of the cost loss")
    ramp: float = Field(0.5, ge=0, le=1, description="share of the joint stage in which the target falls to the budget")
    window: int = Field(5, ge=1, le=10000, description="steps over which the measured cost is smoothed")
    margin: float = Field(
        0.02, ge=0, le=0.5, description="how far above the budget joint training aims, for calibration"
    )
    calibrate: bool = Field(True, description="raise the gate threshold at the end if the cost is above the budget")

    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of initial weights, order, augmentation and noise")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:<index>")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="type of autocast; CUDA or CPU")
    log_every: int = Field(10, ge=1, le=100000, description="steps between checks of the loss and progress updates")
    save_every_s: float = Field(60.0, ge=0, description="seconds between resume states inside an epoch")

    @classmethod
    def demo(cls, **values: Any) -> TrainConfig:
        """M-CifarNet x0.25 on digits at 32x32: all three stages in about two minutes on two cores."""
        return cls.checked(**{**DEMO, **values})

    @classmethod
    def published(cls, **values: Any) -> TrainConfig:
        """The published schedule for CIFAR: 300 epochs, batch 256, rate 0.1 (arXiv 1910.08906 section 4)."""
        schedule = {"pretrain_epochs": 300, "warmup_epochs": 20, "joint_epochs": 300, "batch_size": 256, "lr": 0.1}
        return cls.checked(**{**schedule, "joint_lr": 0.1, "dataset": "cifar10", **values})

    def gate_options(self) -> dict[str, Any]:
        """Keyword options for `sanp.gate` that belong to the policy."""
        options: dict[str, Any] = {
            "reduction": self.reduction,
            "hidden_min": self.hidden_min,
            "noise": self.noise,
            "soft_share": self.soft_share,
        }
        if self.policy in ("sanp", "fixed-k"):
            options["standardise"] = self.standardise
        if self.policy == "oracle":
            options["num_modes"] = int(self.data_options.get("modes", 4))
        return {} if self.policy == "random" else options
