"""What a time depends on besides the network and the device: those of a table and of a profile have to be the same."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.latency.table import LatencyTable


def precision_of(manifest: Manifest) -> str:
    """Precision of the layers of a bundle in words: "fp32", "fp16", "int8", and whether weights were rounded."""
    return f"{manifest.precision}, bf16 weights" if manifest.rounded else manifest.precision


def conditions_of_profile(profile: Mapping[str, Any], manifest: Manifest) -> Dict[str, Any]:
    """How the calls of a profile were made, by the names that `LatencyTable.settings` has for it.

    profile: `Profile.to_json()`; manifest: of the bundle that it is of.
    """
    return {
        "threads": profile["settings"]["threads"],
        "batch": profile["settings"]["batch"],
        "precision": precision_of(manifest),
        "isa": (profile.get("library") or {}).get("isa"),
        "power_mode": (profile.get("power_mode") or {}).get("name"),
    }


def require_conditions(table: LatencyTable, profile: Mapping[str, Any], manifest: Manifest) -> None:
    """ConfigError unless the times of the table and of the profile are of one device and of calls made alike."""
    table.require_device(profile["device_id"], profile["device_name"])
    table.require_settings(conditions_of_profile(profile, manifest))
