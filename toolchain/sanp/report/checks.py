"""Are the results what a report shows: of the right kind and schema, of one bundle, and measured at all?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sanp_runtime.contract import DENSE, GATED, MEASURED, OPEN
from sanp_runtime.profile.results import SCHEMA_VERSION as PROFILE_SCHEMA
from sanp_runtime.validate.validation import SCHEMA_VERSION as VALIDATION_SCHEMA
from sanp_targets.errors import InputError

_SHARES = ("accuracy", "cost")
_CURES = {
    "profile": "measure the bundle with `sanp profile -o`",
    "validation": "run `sanp validate --json`",
    "training": "pass what `sanp train --json` printed",
}


def check_results(results: Mapping[str, Any]) -> None:
    """InputError unless every result is one that the page can show; training and validation may be None."""
    bundle = results["bundle"]
    if results["profile"] is None:
        raise InputError(f"the results hold no profile, expected kind 'profile'; {_CURES['profile']}")
    check_each(results)
    if results.get("int8") is not None:
        check_results(results["int8"] | {"training": None})
    if not isinstance(bundle, Mapping) or not isinstance(bundle.get("name"), str):
        raise InputError("the results hold no bundle manifest, expected the content of manifest.json; compile again")


def check_each(results: Mapping[str, Any]) -> None:
    """InputError unless profile, validation and training are of that kind, or None."""
    if results["profile"] is not None:
        _check_kind("profile", results["profile"], PROFILE_SCHEMA)
        _check_measured(results["profile"])
    if results["validation"] is not None:
        _check_kind("validation", results["validation"], VALIDATION_SCHEMA)
    if results["training"] is not None:
        _check_training(results["training"])


def check_same_bundle(results: Mapping[str, Any], digest: str, place: Any) -> None:
    """InputError if the profile or the validation is of another bundle than the one at `place`, which has `digest`."""
    for what in ("profile", "validation"):
        row = results[what]
        if row is None:
            continue
        origin = row.get("bundle") if isinstance(row, Mapping) else None
        found = origin.get("digest") if isinstance(origin, Mapping) else None
        if found != digest:
            name = origin.get("name") if isinstance(origin, Mapping) else None
            raise InputError(
                f"the {what} is of the bundle {name!r} with digest {str(found)[:12]}, expected {place} with digest "
                f"{digest[:12]}; {_CURES[what]} again for this bundle"
            )


def _check_kind(what: str, row: Any, schema: int) -> None:
    kind = row.get("kind") if isinstance(row, Mapping) else None
    if kind != what:
        found = f"a result of kind {kind!r}" if kind is not None else "something else"
        raise InputError(f"the results hold no {what} but {found}, expected kind {what!r}; {_CURES[what]}")
    found = row.get("schema_version")
    if found != schema:
        raise InputError(
            f"the {what} has schema version {found!r}, expected {schema}: it was made by another version of the "
            f"toolchain; {_CURES[what]} again"
        )


def _check_measured(profile: Mapping[str, Any]) -> None:
    """A profile without a call is well formed and says nothing."""
    variants, rows = profile.get("variants"), profile.get("samples")
    least = (DENSE, OPEN, GATED) if profile.get("main") == GATED else (DENSE,)
    blocks = [row.get("latency") for row in _variants(variants, least)]
    if not blocks or not all(isinstance(block, Mapping) and block.get("values") for block in blocks) or not rows:
        raise InputError(
            f"the profile holds no calls of the variants {', '.join(least)}, expected latencies of each; "
            f"{_CURES['profile']} again"
        )


def _variants(found: Any, least: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows of a table of variants that `profile` measures, with at least these; empty for anything else."""
    if not isinstance(found, Mapping) or not set(least) <= set(found) <= set(MEASURED):
        return []
    return [row if isinstance(row, Mapping) else {} for row in found.values()]


def _check_training(row: Any) -> None:
    kind = row.get("kind", "training") if isinstance(row, Mapping) else None
    if kind != "training":
        raise InputError(
            f"the training result is of kind {kind!r}, expected accuracies and cost of a run; {_CURES['training']}"
        )
    wrong = {key: row.get(key) for key in _SHARES if not _is_share(row.get(key))}
    if row.get("dense_accuracy") is not None and not _is_share(row["dense_accuracy"]):
        wrong["dense_accuracy"] = row["dense_accuracy"]
    if wrong or not isinstance(row.get("config", {}), Mapping):
        raise InputError(
            f"the training result has {wrong or {'config': row['config']}!r:.200}, expected the finite numbers "
            f"{', '.join(_SHARES)} and settings by name; {_CURES['training']}"
        )


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
