"""Settings of `sanp report`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sanp.settings.base import Settings


class ReportSettings(Settings):
    """[report]"""

    section: ClassVar[str] = "report"

    profile: Path | None = Field(None, description="JSON written by `sanp profile -o`; measured now if absent")
    validation: Path | None = Field(None, description="JSON printed by `sanp validate --json`")
    training: Path | None = Field(None, description="JSON printed by `sanp train --json`")
    replace: bool = Field(False, description="replace an existing report")
