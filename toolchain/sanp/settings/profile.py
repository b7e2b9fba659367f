"""Settings of `sanp profile`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sanp.settings.base import Settings


class ProfileSettings(Settings):
    """[profile]"""

    section: ClassVar[str] = "profile"

    threads: int = Field(1, ge=1, le=1024, description="threads of each engine")
    batch: int = Field(1, ge=1, le=1024, description="samples per call")
    duration: float = Field(10.0, gt=0, le=86_400, description="seconds of measurement over all engines")
    budget: float | None = Field(
        None, gt=0, le=1, description="budget that the network runs at, as a share of its cost as trained"
    )
    budgets: bool = Field(False, description="also measure every budget of the bundle, for as long again")
    allow_invalid: bool = Field(False, description="exit 0 although the numbers must not be quoted")
    replace: bool = Field(False, description="replace an existing result")
