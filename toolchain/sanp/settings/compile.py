"""Settings of `sanp compile`: common ones, and a part for each backend."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from sanp.settings.base import Settings
from sanp.settings.remote import RemotePart
from sanp_targets.errors import ConfigError


class BackendPart(Settings):
    """Base of the parts. title: the backend in words; elsewhere: why other backends have none of these settings."""

    title: ClassVar[str] = ""
    elsewhere: ClassVar[str] = ""


class OnnxruntimePart(BackendPart):
    """Only for targets that run in ONNX Runtime"""

    title: ClassVar[str] = "ONNX Runtime"
    elsewhere: ClassVar[str] = (
        "TensorRT times its own kernels while it builds, halves weights by --precision fp16, and has no budget dial"
    )

    tune: bool = Field(False, description="time the kernels of each layer on this machine and keep the fastest")
    bf16_weights: bool = Field(
        False,
        description="round the weights of maps of 16 pixels or fewer, outside of fused blocks, to bfloat16, which the "
        "kernels read faster",
    )
    kernels: Literal["auto", "ours", "onnxruntime"] = Field(
        "onnxruntime", description="who computes a network without gates; auto times both on this machine"
    )
    blocks: Literal["fused", "apart"] = Field(
        "fused",
        description="inverted residual blocks: fused into one node each, or apart",
    )
    library: Path | None = Field(
        None, description="operator library of the target, for one of another architecture than this machine"
    )

    budgets: tuple[float, ...] = Field(
        (), description="what a call may cost, as shares of the network as trained, such as [0.85, 0.7]"
    )

    @model_validator(mode="after")
    def _budgets_are_shares(self) -> OnnxruntimePart:
        wrong = [value for value in self.budgets if not 0 < value <= 1]
        if wrong:
            raise ConfigError(
                f"--budgets has {wrong[0]:g}, expected shares of the cost as trained, above 0 and at most 1; correct it"
            )
        return self


class TensorrtPart(BackendPart):
    """Only for targets that run in TensorRT"""

    title: ClassVar[str] = "TensorRT"
    elsewhere: ClassVar[str] = "ONNX Runtime computes in float32 with our kernels, for any batch"

    precision: Literal["fp32", "fp16"] = Field("fp32", description="type of feature maps and weights")
    plugin_layers: str = Field("auto", description="layers in our kernel: auto, all, none, or names as a,b,c")
    opt_batch: int = Field(1, ge=1, le=1024, description="batch size that the engines are tuned for")
    max_batch: int = Field(64, ge=1, le=1024, description="largest batch size of the engines")
    layer_times: Path | None = Field(
        None, description="profile from the device, whose measured times decide per layer instead of the model"
    )

    @model_validator(mode="after")
    def _batches_agree(self) -> TensorrtPart:
        if self.opt_batch > self.max_batch:
            raise ConfigError(
                f"batch sizes are {self.opt_batch} (opt) and {self.max_batch} (max), expected 1 <= opt <= max; correct "
                "--opt-batch or --max-batch"
            )
        return self


class CompileSettings(Settings):
    """[compile], [compile.onnxruntime], [compile.tensorrt], [compile.remote]"""

    section: ClassVar[str] = "compile"

    target: str = Field(
        "host",
        description="name or TOML file of the target; host = this machine, or that of --host; `sanp targets list`",
    )
    reference: Path | None = Field(None, description="PyTorch's answers, if they are not beside the model")
    replace: bool = Field(False, description="replace an existing bundle")
    allow_modified: bool = Field(False, description="accept a model that was edited after its export")
    fold: bool = Field(
        False, description="take out channels that are never open on the samples, and gates that are constant"
    )
    multiple: int = Field(1, ge=1, le=256, description="keep folded widths a multiple of this, as 8 or 16")
    max_drop: float | None = Field(
        None,
        ge=0,
        le=1,
        description="most that may be lost on samples that were held back: accuracy, 0.01 = one point, or relative "
        "change of outputs [default: 0.01 for --fold, 0.005 for --int8, no limit for --budgets]",
    )
    metric: str | None = Field(
        None,
        description="module:function(outputs, labels) -> number that judges a fold or budgets in place of accuracy",
    )
    int8: bool = Field(False, description="compute convolutions on bytes, as far as the accuracy allows")
    calibration: Literal["auto", "trained", "minmax", "percentile"] = Field(
        "auto",
        description="how --int8 finds ranges; auto: those learned by sanp train --int8 if there are any, else minmax",
    )
    samples: int | None = Field(
        None, ge=8, le=100_000, description="samples that give the ranges of --int8, the others judge [default: half]"
    )
    onnxruntime: OnnxruntimePart = OnnxruntimePart()
    tensorrt: TensorrtPart = TensorrtPart()
    remote: RemotePart = RemotePart()

    @model_validator(mode="after")
    def _int8_fits(self) -> CompileSettings:
        if not self.int8 and (self.samples is not None or self.calibration != "auto"):
            raise ConfigError(
                "--calibration or --samples without --int8, expected it too; add --int8, or leave them out"
            )
        part = self.onnxruntime
        float32 = {
            "--tune": part.tune, "--bf16-weights": part.bf16_weights, "--kernels": part.kernels != "onnxruntime",
            "--blocks": part.blocks != "fused",
            "--precision fp16": self.tensorrt.precision == "fp16",
        }  # fmt: skip
        others = [flag for flag, given in float32.items() if given]
        if self.int8 and others:
            raise ConfigError(
                f"--int8 with {' and '.join(others)}, which choose among kernels and weights of other types, expected "
                "one of them; compile two bundles"
            )
        return self

    @model_validator(mode="after")
    def _fold_is_on(self) -> CompileSettings:
        if self.fold:
            return self
        drop = self.max_drop is not None and not (self.int8 or self.onnxruntime.budgets)
        metric = self.metric is not None and not self.onnxruntime.budgets
        asked = (("--multiple", self.multiple != 1), ("--max-drop", drop), ("--metric", metric))
        given = [flag for flag, value in asked if value]
        if given:
            others = " (--max-drop also goes with --int8 and --budgets)" if drop else ""
            raise ConfigError(
                f"{' and '.join(given)} without --fold, expected both or neither; add --fold, or leave it out{others}"
            )
        return self

    def check_backend(self, target: str, backend: str) -> None:
        """Raise ConfigError if a setting of another backend than that of the target was given."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        for name, part in parts.items():
            if not isinstance(part, BackendPart) or name == backend or part == type(part)():
                continue
            given = [key for key, value in part if value != getattr(type(part)(), key)]
            raise ConfigError(
                f"target {target} runs in {parts[backend].title}, expected no setting for {part.title}; leave out "
                f"{', '.join('--' + key.replace('_', '-') for key in given)} ({part.elsewhere})"
            )
