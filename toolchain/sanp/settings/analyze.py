"""Settings of `sanp analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sanp.settings.base import Settings
from sanp.settings.train import Option


class AnalyzeSettings(Settings):
    """[analyze]"""

    section: ClassVar[str] = "analyze"

    limit: int | None = Field(None, ge=1, description="use this many test images instead of all")
    data_root: Path | None = Field(None, description="folder of the data set, if it has moved since training")
    model: str | None = Field(None, description="package.module:factory of the network, if it has moved since training")
    model_args: dict[str, Option | None] = Field(
        default_factory=dict, description="arguments of the factory, in place of those in the checkpoint"
    )
    replace: bool = Field(False, description="replace an existing analysis")
