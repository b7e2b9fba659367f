"""Settings of a training run, whatever its method: backbone, data, schedule and budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sanp.settings.base import Settings
from sanp.settings.times import milliseconds
from sanp_targets.errors import ConfigError

Value = bool | int | float | str
Option = Value | list[Value]


CUSTOM = "custom"  # the name of data, and of networks, that were given in Python and have no name of their own


def is_custom(model: str) -> bool:
    """Whether a model was a network object, "custom:ClassName": nothing but that object can build it again."""
    return model.startswith(f"{CUSTOM}:")


def is_import_path(model: str) -> bool:
    """Whether a model is named by import path and is none of the built-in ones."""
    return ":" in model and not is_custom(model)


class TrainSettings(Settings):
    """Settings of `train`; immutable, unknown keys are errors. The defaults suit small images on a CPU.

    `options` belong to the method, whose own settings check them: see `sanp.methods.registry.train_settings`, which
    takes both kinds side by side.
    """

    section: ClassVar[str] = "train"
    flags: ClassVar[tuple[str, ...]] = (
        "model", "width", "model_args", "weights", "dataset", "data_root", "method", "budget", "budget_latency",
        "table", "int8", "trained", "seed", "device",
    )  # fmt: skip

    model: str = Field(
        "m-cifarnet",
        description="backbone: m-cifarnet, vgg-16, vgg-19, resnet-18 | 20 | 32 | 56 | 110 (20 to 110 also with -a), "
        "imagenet-resnet-18 | 34 | 50, imagenet-mobilenet-v2, or package.module:factory for a network of your own",
    )
    width: float = Field(1.0, gt=0, le=8, description="factor on every channel count of the backbone")
    model_args: dict[str, Option | None] = Field(
        default_factory=dict, description="arguments of the factory of the model"
    )
    weights: Path | None = Field(
        None, description="weights that the backbone begins with: safetensors or a state dict of its own names"
    )
    weights_except: tuple[str, ...] = Field((), description="tensors or modules that keep fresh weights")
    dataset: str = Field(
        "digits", description="data set: digits, mixcues, cifar10, cifar100, image-folder, image-stream, tar-shards"
    )
    data_root: Path | None = Field(None, description="folder of the data set's files, for sets that are not bundled")
    data_options: dict[str, Value] = Field(
        default_factory=dict, description="knobs of the data set, such as modes, cue and leak of mixcues"
    )
    image_size: int = Field(32, ge=1, le=8192, description="height and width of the images in pixels")

    method: str = Field("sanp", description="what makes the network cheaper; --list-settings names all methods")
    options: dict[str, Option] = Field(default_factory=dict, description="options of the method")
    budget: float = Field(0.35, gt=0, le=1, description="mean cost to reach, as a share of the dense network's MACs")
    budget_latency: str | None = Field(
        None, description="mean time to reach in place of a budget of MACs, with its unit, as in 2.5ms; needs a table"
    )
    table: Path | None = Field(
        None, description="latency table of this network on the device, written by sanp profile --table"
    )

    int8: bool = Field(False, description="learn in a last stage with the rounding of sanp compile --int8")
    int8_epochs: int = Field(8, ge=0, le=10000, description="epochs of that stage")
    int8_lr: float = Field(0.005, gt=0, le=10, description="peak learning rate of that stage")
    trained: Path | None = Field(
        None, description="checkpoint of a whole run, whose network replaces all stages before that of --int8"
    )

    pretrained: Path | None = Field(None, description="checkpoint whose backbone replaces the pretraining stage")
    pretrain_epochs: int = Field(16, ge=0, le=10000, description="epochs of the backbone alone")
    batch_size: int = Field(64, ge=2, le=65536, description="samples per step, over all processes")
    lr: float = Field(0.05, gt=0, le=10, description="peak learning rate of pretraining")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD (Nesterov)")
    weight_decay: float = Field(5e-4, ge=0, le=1, description="weight decay of the backbone; gates have none")
    clip_norm: float = Field(5.0, gt=0, allow_inf_nan=False, description="largest norm of the gradient")
    augment: bool = Field(True, description="random shifts, and mirroring where the data set allows it")

    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of initial weights, order, augmentation and noise")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:<index>")
    threads: int | None = Field(
        None, ge=1, le=4096, description="CPU threads; none: those of PyTorch, and in a resume those of the run before"
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="type of autocast; CUDA or CPU")
    cuda_graph: bool = Field(
        False, description="replay training steps as CUDA graphs where the method allows it; one process on a GPU"
    )
    log_every: int = Field(10, ge=1, le=100000, description="steps between checks of the loss and progress updates")
    save_every_s: float = Field(60.0, ge=0, description="seconds between resume states inside an epoch")

    @field_validator("budget_latency", mode="before")
    @classmethod
    def _with_unit(cls, value: object) -> object:
        if value is not None:
            milliseconds(str(value))
        return value

    @model_validator(mode="after")
    def _with_table(self) -> TrainSettings:
        if self.budget_latency is not None and self.table is None:
            raise ConfigError(
                f"[train] budget_latency is {self.budget_latency} without a table, expected the latency table of this "
                "network on the device; measure one with `sanp profile model.sanp --table table.json`"
            )
        if self.table is not None and self.budget_latency is None:
            raise ConfigError(
                f"[train] table is {self.table} without budget_latency, expected a time to reach, such as 2.5ms; set "
                "it, or leave the table out to train for MACs"
            )
        return self

    @model_validator(mode="after")
    def _trained_for_bytes(self) -> TrainSettings:
        if self.trained is not None and not self.int8:
            raise ConfigError(
                f"[train] trained is {self.trained} without int8, expected both: only the stage of --int8 begins with "
                "a network that is trained; add --int8, or name the backbone of a run with pretrained"
            )
        for key in ("pretrained", "weights"):
            if self.trained is not None and getattr(self, key) is not None:
                raise ConfigError(
                    f"[train] {key} is {getattr(self, key)} beside trained, expected one of them: the network of "
                    f"trained has all weights; leave {key} out"
                )
        return self

    @property
    def backbone(self) -> str:
        """The backbone in words: "m-cifarnet x0.25", or the import path or class of a network of the user's own."""
        if is_custom(self.model):
            return self.model.partition(":")[2]
        return self.model if is_import_path(self.model) else f"{self.model} x{self.width:g}"

    @classmethod
    def demo(cls, **values: Any) -> TrainSettings:
        """M-CifarNet x0.25 on digits at 32x32: all stages in about two minutes on two cores."""
        return cls.checked(**{"width": 0.25, **values})

    @classmethod
    def published(cls, **values: Any) -> TrainSettings:
        """The published schedule for CIFAR: 300 epochs, batch 256, rate 0.1 (arXiv 1910.08906 section 4)."""
        stages = {"warmup_epochs": 20, "joint_epochs": 300, "joint_lr": 0.1, **values.pop("options", {})}
        schedule = {"pretrain_epochs": 300, "batch_size": 256, "lr": 0.1, "dataset": "cifar10", "options": stages}
        return cls.checked(**{**schedule, **values})
