"""Settings of the commands: a TOML file with one section per command, overridden by flags; unknown keys are errors."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sanp_targets.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECTIONS = ("train", "export", "compile", "validate", "profile", "demo")


class Settings(BaseModel):
    """Base of all sections: immutable, and a misspelt key is an error instead of a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExportSettings(Settings):
    """[export]"""

    gates: Literal["learned", "mask"] = Field("learned", description="learned gates, or masks alone (mask = scale)")
    macs: bool = Field(False, description="add the output macs [N]")
    samples: int = Field(64, ge=0, le=100_000, description="test images whose PyTorch answers go beside the model")
    data_root: Path | None = Field(None, description="folder of the data set, if it has moved since training")


class CompileSettings(Settings):
    """[compile]"""

    target: str = Field("host", description="target name; host is this machine")
    reference: Path | None = Field(None, description="PyTorch's answers, if not beside the model")
    replace: bool = Field(False, description="replace an existing bundle")
    allow_modified: bool = Field(False, description="accept a model that was edited after its export")
    tune: bool = Field(False, description="ONNX Runtime: time the kernels of each layer here, keep the fastest")
    bf16_weights: bool = Field(False, description="ONNX Runtime: round weights of small maps to 16 bits")
    precision: Literal["fp32", "fp16"] = Field("fp32", description="TensorRT: type of feature maps and weights")
    plugin_layers: str = Field("auto", description="TensorRT: layers in our kernel: auto, all, none or names")
    opt_batch: int = Field(1, ge=1, le=1024, description="TensorRT: batch size that the engines are tuned for")
    max_batch: int = Field(64, ge=1, le=1024, description="TensorRT: largest batch size")
    layer_times: Path | None = Field(None, description="TensorRT: profile from the device that decides per layer")


class ValidateSettings(Settings):
    """[validate]"""

    limit: int | None = Field(None, ge=1, description="use this many test images instead of all")
    threads: int = Field(1, ge=1, le=1024, description="threads of the engine")
    relative: float = Field(0.99, gt=0, le=1, description="least accuracy as a share of PyTorch's")
    max_drop: float | None = Field(None, ge=0, le=1, description="largest absolute loss of accuracy (0.01 = one point)")
    data_root: Path | None = Field(None, description="folder of the data set, if it has moved since training")


class ProfileSettings(Settings):
    """[profile]"""

    threads: int = Field(1, ge=1, le=1024, description="threads of each engine")
    batch: int = Field(1, ge=1, le=1024, description="samples per call")
    duration: float = Field(10.0, gt=0, le=86_400, description="seconds of measurement over all engines")
    allow_invalid: bool = Field(False, description="exit 0 although the verdict says the numbers must not be quoted")


Section = TypeVar("Section", bound=BaseModel)


def read_section(path: Path | None, name: str) -> dict[str, Any]:
    """The table [name] of a TOML file, {} without a file; ConfigError for bad TOML, no such file, unknown sections."""
    if path is None:
        return {}
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML ({error}); correct that line") from error
    unknown = sorted(set(content) - set(SECTIONS))
    if unknown:
        raise ConfigError(f"{path}: [{unknown[0]}] is not a section, expected one of {', '.join(SECTIONS)}; rename it")
    section = content.get(name, {})
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: {name} is {section!r}, expected a table [{name}]; correct it")
    return section


def resolve(kind: type[Section], section: str, path: Path | None, flags: Mapping[str, Any]) -> Section:
    """Settings from defaults, then the file's section, then flags (None = not given). ConfigError naming the key."""
    values = {**read_section(path, section), **{key: value for key, value in flags.items() if value is not None}}
    unknown = sorted(set(values) - set(kind.model_fields))
    if unknown:
        near = difflib.get_close_matches(unknown[0], kind.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(kind.model_fields)}"
        raise ConfigError(f"[{section}] has no setting {unknown[0]!r}; {hint}")
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"[{section}] {key} is {first.get('input')!r}: {first['msg']}; correct it") from error
