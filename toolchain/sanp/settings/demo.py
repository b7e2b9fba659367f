"""Settings of `sanp demo`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sanp.settings.base import Settings


class DemoSettings(Settings):
    """[demo]"""

    section: ClassVar[str] = "demo"

    duration: float = Field(10.0, gt=0, le=86_400, description="seconds of latency measurement")
    replace: bool = Field(False, description="replace what an earlier demo left in the folder")
