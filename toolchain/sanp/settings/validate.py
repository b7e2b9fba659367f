"""Settings of `sanp validate`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sanp.settings.base import Settings, Share
from sanp.settings.remote import RemotePart
from sanp.settings.train import Option


class ValidateSettings(Settings):
    """[validate], [validate.remote]"""

    section: ClassVar[str] = "validate"

    limit: int | None = Field(None, ge=1, description="use this many test images instead of all")
    threads: int = Field(1, ge=1, le=1024, description="threads of the engine")
    relative: float = Field(0.99, gt=0, le=1, description="least accuracy as a share of PyTorch's")
    max_drop: float | None = Field(None, ge=0, le=1, description="largest absolute loss of accuracy; 0.01 is one point")
    baseline: Path | None = Field(None, description="an earlier validation; exit 1 if it was more accurate")
    max_regression: Share = Field(
        0.005, ge=0, le=1, description="largest loss of accuracy against the baseline, 0.005 or 0.5%"
    )
    junit: Path | None = Field(None, description="also write the checks as JUnit XML")
    replace: bool = Field(False, description="replace an existing result")
    metric: str | None = Field(
        None, description="module:function(outputs, labels) -> number, compared in place of accuracy"
    )
    data_root: Path | None = Field(None, description="folder of the data set, if it has moved since training")
    model: str | None = Field(None, description="package.module:factory of the network, if it has moved since training")
    model_args: dict[str, Option | None] = Field(
        default_factory=dict, description="arguments of the factory, in place of those in the checkpoint"
    )
    remote: RemotePart = RemotePart()
