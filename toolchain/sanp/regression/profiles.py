"""A profile beside an earlier one of the same device: has the network become slower?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from sanp.regression.check import Check
from sanp_runtime.measure.interval import MIN_ROUNDS, Series, change_interval, value_of
from sanp_targets.errors import InputError, MeasurementError

Quantity = Literal["latency", "speed-up"]
_UNFIT = ("NOISY", "THROTTLED")


def profile_checks(
    now: Mapping[str, Any], before: Mapping[str, Any], max_regression: float, quantity: Quantity = "latency"
) -> list[Check]:
    """One check, of the network as trained; now, before: JSON of two profiles, of the same or of different bundles.

    max_regression: largest allowed relative increase of the typical latency, or decrease of the speed-up over the
    variant that was measured beside it, which a slower machine does not change. It fails if the change is larger and
    its 95 % interval excludes "no change": a noisy run is no regression. Engines that each ran in a process of their
    own (trtexec) have no such interval, and then the change alone decides. Raises InputError if the two cannot be
    compared (device, power mode, limits, kernels, threads, batch, budget, size, samples), MeasurementError if the
    baseline should not be quoted or the rounds are too few for an interval.
    """
    _check_comparable(now, before)
    verdict = before["validity"]["verdict"]
    if verdict in _UNFIT:
        raise MeasurementError(f"the baseline is {verdict}, expected a quiet machine; measure the baseline again")
    over, under, words = _series(now, before, quantity)
    change = value_of(over) / value_of(under)
    if not (now["in_turns"] and before["in_turns"]):
        words += f" {_in_words(change)}; no interval, since every engine ran in a process of its own"
        return [Check(quantity, change <= 1 + max_regression, f"{words} (allowed {max_regression:+.1%})")]
    interval = change_interval(over, under)
    if interval is None:
        rounds = min(len(series) for pair in (over, under) for series in pair)
        raise MeasurementError(
            f"one of the profiles has {rounds} rounds over its samples, expected {MIN_ROUNDS} or more for an interval; "
            "measure with a longer --duration"
        )
    worse = change > 1 + max_regression and interval[0] > 1
    ends = "to".join(f" {end - 1:+.1%} " for end in interval)
    words += f" {_in_words(change)} (95 % interval of the change{ends.rstrip()}, allowed {max_regression:+.1%})"
    return [Check(quantity, not worse, words)]


def _series(now: Mapping[str, Any], before: Mapping[str, Any], quantity: Quantity) -> tuple[Series, Series, str]:
    """Two series whose ratio is above 1 if it got worse, and the sentence's beginning."""
    first, second = now["main"], before["main"]
    if quantity == "latency":
        old, new = (profile["variants"][profile["main"]]["typical_ms"] for profile in (before, now))
        return (_rounds(now, first),), (_rounds(before, second),), f"typical latency {old:.4g} -> {new:.4g} ms,"
    for profile in (now, before):
        if profile["ratios"] is None:
            raise InputError(
                f"the profile of {profile['bundle']['name']} has one variant and no speed-up, expected one to compare "
                "with; compare the latency"
            )
    old, new = (profile["ratios"]["measured"] for profile in (before, now))
    slower = (_rounds(now, first), _rounds(now, now["baseline"]))
    return slower, (_rounds(before, second), _rounds(before, before["baseline"])), f"speed-up {old:.3g}x -> {new:.3g}x,"


def _rounds(profile: Mapping[str, Any], variant: str) -> np.ndarray:
    """Latencies of a variant, [rounds, samples]."""
    values: np.ndarray = np.asarray(profile["variants"][variant]["latency"]["values"], np.float64)
    return values.reshape(-1, len(profile["samples"]))


def _in_words(change: float) -> str:
    return f"{abs(change - 1):.1%} {'worse' if change > 1 else 'better'}"


def _check_comparable(now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """InputError that names the first thing in which the two runs differ although it decides about time."""
    for words, path in (
        ("device", ("device_id",)),
        ("power mode", ("device", "power_mode")),
        ("limit of processors", ("device", "cpu_limit")),
        ("frequency governor", ("device", "governor")),
        ("way of fixing clocks", ("controls", "clocks_fixed_by")),
        ("governor of the GPU", ("device", "gpu_governor")),
        ("instruction set of the kernels", ("library", "isa")),
        ("number of threads", ("settings", "threads")),
        ("batch", ("settings", "batch")),
        ("budget", ("settings", "budget")),
        ("size of the images", ("settings", "size")),
        ("number of samples", ("settings", "samples")),
        ("data set", ("bundle", "dataset")),
    ):
        found, expected = (_at(profile, path) for profile in (now, before))
        if found != expected:
            raise InputError(
                f"the {words} is {found!r}, expected {expected!r} as in the baseline: latencies of different "
                "conditions are not compared; measure a baseline of this one"
            )


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
