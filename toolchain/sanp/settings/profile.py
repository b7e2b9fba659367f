"""Settings of `sanp profile`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from sanp.settings.base import Settings, Share
from sanp.settings.remote import RemotePart
from sanp_targets.errors import ConfigError


class ProfileSettings(Settings):
    """[profile], [profile.remote]"""

    section: ClassVar[str] = "profile"

    threads: int = Field(1, ge=1, le=1024, description="threads of each engine")
    batch: int = Field(1, ge=1, le=1024, description="samples per call")
    duration: float = Field(10.0, gt=0, le=86_400, description="seconds of measurement over all engines")
    power_mode: str | None = Field(None, description="set this power mode of a Jetson by its name, and set it back")
    fix_clocks: bool = Field(False, description="fix the clocks for the measurement, and set them back")
    energy: bool = Field(False, description="also measure the energy per inference, where a power rail can be read")
    baseline: Path | None = Field(None, description="an earlier profile of this device; exit 1 if it was faster")
    max_regression: Share = Field(
        0.05, ge=0, le=10, description="largest loss against the baseline as a share, 0.05 or 5%"
    )
    regression_of: Literal["latency", "speed-up"] = Field(
        "latency",
        description="what may not regress; the speed-up over the dense variant does not depend on a slower machine",
    )
    junit: Path | None = Field(None, description="also write the checks as JUnit XML")
    budget: float | None = Field(
        None, gt=0, le=1, description="budget that the network runs at, as a share of its cost as trained"
    )
    size: str | None = Field(
        None,
        description="height and width of the images, such as 320x256, of a bundle for several; samples are resized",
    )
    budgets: bool = Field(False, description="also measure every budget of the bundle, for as long again")
    table: Path | None = Field(
        None, description="measure the latency table of a gated network into this file, in place of the profile"
    )
    predicted_by: Path | None = Field(
        None, description="latency table of this device, whose prediction for every sample is told beside its time"
    )
    allow_invalid: bool = Field(False, description="exit 0 although the numbers must not be quoted")
    replace: bool = Field(False, description="replace an existing result")
    remote: RemotePart = RemotePart()

    def check_threads(self, cores: int, where: str = "this machine") -> None:
        """ConfigError for more threads than the machine has processors; where: what the machine is called."""
        if self.threads > cores:
            raise ConfigError(f"threads is {self.threads}, {where} has {cores} processors; use at most as many")
