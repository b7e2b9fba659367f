"""Settings of `sanp compare`: the matrix, and what all its runs have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sanp.settings.base import Settings
from sanp.settings.times import milliseconds
from sanp.settings.train import Option, Value, is_import_path
from sanp_targets.errors import ConfigError

Phase = Literal["train", "export", "compile", "validate", "profile", "report"]
PHASES: tuple[Phase, ...] = ("train", "export", "compile", "validate", "profile", "report")
_ALL = "dense narrow sanp fixed-k static fbs slimming fcp l1 laasp laasp:criteria=L1"


class TrainingPart(Settings):
    """What every run of the matrix is trained on"""

    model: str = Field("m-cifarnet", description="backbone; see `sanp train`")
    width: float = Field(0.25, gt=0, le=8, description="factor on every channel count of the backbone")
    model_args: dict[str, Option | None] = Field(
        default_factory=dict, description="arguments of the factory of the model"
    )
    weights: Path | None = Field(None, description="weights that the backbone begins with; see `sanp train`")
    weights_except: tuple[str, ...] = Field((), description="tensors or modules that keep fresh weights")
    dataset: str = Field("mixcues", description="data set: digits, mixcues, cifar10, cifar100, image-folder")
    data_root: Path | None = Field(None, description="folder of the data set's files, for sets that are not bundled")
    data_options: dict[str, Value] = Field(
        {"modes": 4, "train_size": 4000, "val_size": 1000, "test_size": 4000},
        description="knobs of the data set; {} if it is another one",
    )
    image_size: int = Field(16, ge=16, le=512, description="height and width of the images in pixels")
    batch_size: int = Field(64, ge=2, le=65536, description="samples per step")
    lr: float = Field(0.05, gt=0, le=10, description="peak learning rate of pretraining")
    augment: bool = Field(False, description="random shifts and mirroring; MixCues moves and turns everything itself")
    precision: Literal["float32", "bfloat16", "float16"] = Field("float32", description="type of autocast")
    device: str = Field("cpu", description="auto, cpu, cuda or cuda:<index>")

    @model_validator(mode="before")
    @classmethod
    def _own_options(cls, values: Any) -> Any:
        """The default knobs are those of the default data set, the default width that of built-in backbones."""
        if not isinstance(values, dict):
            return values
        own = cls.model_fields["dataset"].default
        fitting: dict[str, Any] = {} if values.get("dataset", own) == own else {"data_options": {}}
        if is_import_path(str(values.get("model", ""))):
            fitting["width"] = 1.0
        return {**fitting, **values}


class CompareSettings(Settings):
    """[compare], [compare.training]"""

    section: ClassVar[str] = "compare"
    flags: ClassVar[tuple[str, ...]] = (
        "methods", "budgets", "latencies", "table", "seeds", "epochs", "pretrain_epochs", "jobs", "until", "target",
        "duration", "model", "width", "model_args", "weights", "dataset", "data_root", "device",
    )  # fmt: skip

    methods: tuple[str, ...] = Field(
        tuple(_ALL.split()),
        description="methods with options and device, spaces between them, as in 'sanp laasp:criteria=L1@cuda'",
    )
    budgets: tuple[float, ...] = Field((0.35, 0.5), description="shares of the dense cost")
    latencies: tuple[str, ...] = Field(
        (), description="times that methods with gates are trained for besides, as in '0.1ms 0.15ms'; needs a table"
    )
    table: Path | None = Field(None, description="latency table of the network on the target; see `sanp profile`")
    seeds: tuple[int, ...] = Field((0, 1, 2), description="one backbone is trained for each")
    epochs: int = Field(42, ge=1, le=10**6, description="epochs of every run, those of its backbone among them")
    pretrain_epochs: int = Field(8, ge=1, le=10**6, description="epochs of the backbone that methods start from")
    until: Phase = Field("report", description="last phase of this call; the folder can go on elsewhere")
    jobs: int = Field(1, ge=1, le=256, description="runs at a time, each with its share of the processors")
    target: str = Field("host", description="name or TOML file of the target that everything is compiled for")
    samples: int = Field(64, ge=1, le=100_000, description="test images that are timed and kept in each bundle")
    duration: float = Field(3.0, gt=0, le=86_400, description="seconds of measurement of each network")
    training: TrainingPart = TrainingPart()

    @field_validator("methods", "latencies", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("budgets", "seeds", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        """A single number, or numbers with commas, as the command line gives them."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(","))
        return (value,) if isinstance(value, (int, float)) else value

    @model_validator(mode="after")
    def _consistent(self) -> CompareSettings:
        for name in ("methods", "budgets", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ConfigError(
                    f"[compare] {name} is {list(values)}, expected at least one and each once; correct it"
                )
        for latency in self.latencies:
            try:
                milliseconds(latency)
            except ValueError as error:
                raise ConfigError(
                    f"[compare] latencies has {latency!r}, expected times with their unit, such as 0.1ms; correct it"
                ) from error
        if len(set(self.latencies)) != len(self.latencies) or bool(self.latencies) != (self.table is not None):
            raise ConfigError(
                f"[compare] latencies is {list(self.latencies)} and table is {self.table}, expected each time once, "
                "and both or none of the two; measure a table with `sanp profile --table`"
            )
        wrong = [budget for budget in self.budgets if not 0 < budget <= 1]
        if wrong:
            raise ConfigError(f"[compare] budgets has {wrong[0]:g}, expected shares above 0, at most 1; correct it")
        if self.pretrain_epochs >= self.epochs:
            raise ConfigError(
                f"[compare] pretrain_epochs is {self.pretrain_epochs}, expected fewer than the {self.epochs} of the "
                "whole run; correct it"
            )
        return self
