"""Settings of `sanp profile`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sanp.settings.base import Settings
from sanp.settings.remote import RemotePart


class ProfileSettings(Settings):
    """[profile], [profile.remote]"""

    section: ClassVar[str] = "profile"

    threads: int = Field(1, ge=1, le=1024, description="threads of each engine")
    batch: int = Field(1, ge=1, le=1024, description="samples per call")
    duration: float = Field(10.0, gt=0, le=86_400, description="seconds of measurement over all engines")
    allow_invalid: bool = Field(False, description="exit 0 although the numbers must not be quoted")
    replace: bool = Field(False, description="replace an existing result")
    remote: RemotePart = RemotePart()
