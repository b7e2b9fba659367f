"""Numbers as people read them, and the sentences at the top of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Differences below this are not called a gain or a loss.
_SAME = 0.03


def ms(value: float | None) -> str:
    """Milliseconds with three significant digits, "–" for none."""
    if value is None:
        return "–"
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as per cent, "–" for none."""
    return "–" if value is None else f"{value:.{digits}%}"


def macs(value: float) -> str:
    """Multiply-accumulates with a unit."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f}"


def headline(profile: Mapping[str, Any]) -> str:
    """What was gained, in one sentence that stays true when nothing was."""
    ratios, variants = profile["ratios"], profile["variants"]
    speed, share = ratios["measured"], 1 / ratios["theoretical"]
    batch = profile["settings"]["batch"]
    unit = "image" if batch == 1 else f"batch of {batch}"
    times = f"{ms(variants['gated']['typical_ms'])} ms instead of {ms(variants['dense']['typical_ms'])} ms per {unit}"
    work = f"{percent(share, 0)} of the multiply-accumulates"
    if speed > 1 + _SAME:
        return f"{speed:.2f}× faster than the same network without gates: {times}, with {work}."
    if speed < 1 - _SAME:
        return f"{1 / speed:.2f}× slower than the same network without gates, although it needs only {work}: {times}."
    return f"No faster than the same network without gates, although it needs only {work}: {times}."


def explanation(profile: Mapping[str, Any]) -> str:
    """How much of the possible gain became time, and where the rest went."""
    ratios = profile["ratios"]
    text = (
        f"{ratios['theoretical']:.2f}× less work could have made it {ratios['theoretical']:.2f}× faster; "
        f"{percent(ratios['efficiency'], 0)} of that factor was reached (the efficiency). "
    )
    if ratios["overhead"] > 1 + _SAME:
        text += f"With every gate open it takes {ratios['overhead']:.2f}× the time of the dense one: the overhead."
    else:
        text += f"With every gate open it takes {ratios['overhead']:.2f}× the time of the dense one: no overhead."
    return text


def break_even(profile: Mapping[str, Any]) -> str | None:
    """The share of MACs below which gating pays, from a straight line through two measured points."""
    typical = {name: engine["typical_ms"] for name, engine in profile["variants"].items()}
    share = 1 / profile["ratios"]["theoretical"]
    if not typical["gated"] < typical["open"] or not 0 < share < 1:
        return None
    if typical["open"] <= typical["dense"]:
        return "Gating pays at any share of open channels on this machine."
    slope = (typical["open"] - typical["gated"]) / (1 - share)
    point = share + (typical["dense"] - typical["gated"]) / slope
    if point <= 0:
        return "At this size no share of open channels would pay on this machine."
    return (
        f"Break-even: below about {percent(point, 0)} of the dense MACs gating pays on this machine "
        "(a straight line through the all-open and the trained network)."
    )


def spread(profile: Mapping[str, Any]) -> str:
    """Hard samples or a restless machine: where the spread of the gated latency comes from."""
    found = profile["variants"]["gated"]["spread_ms"]
    return f"From easy to hard samples it is {ms(found['data'])} ms, and the machine adds {ms(found['machine'])} ms."


def accuracy(results: Mapping[str, Any]) -> str | None:
    """What the gates cost in accuracy and what the engine costs on top, as far as it was measured."""
    training, validation = results.get("training"), results.get("validation")
    parts = []
    if training and training.get("accuracy") is not None and training.get("dense_accuracy") is not None:
        parts.append(
            f"{percent(training['accuracy'], 2)} with gates against {percent(training['dense_accuracy'], 2)} for the "
            "dense network in PyTorch"
        )
    if validation:
        level = validation["L2"]
        parts.append(
            f"{percent(level['accuracy'], 2)} in this engine against {percent(level['reference_accuracy'], 2)} for the "
            f"same network in PyTorch on {level['samples']} samples"
        )
    return f"Accuracy: {'; '.join(parts)}." if parts else None
