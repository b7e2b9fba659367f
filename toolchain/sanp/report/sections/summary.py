"""The top of the page: what was gained, whether it may be quoted, and the four figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.report.numbers import macs, ms, percent
from sanp.report.sections.variant_names import baseline
from sanp_runtime.contract import DENSE, GATED
from sanp_runtime.profile.gap import break_even as share_that_pays

# Differences below this are not called a gain or a loss.
_SAME = 0.03
_VERDICTS = {
    "VALID": "The machine was quiet, pinned and at a fixed clock: these numbers may be quoted.",
    "UNPINNED": "Steady, but the clock or the processor was not fixed: quote these numbers with that remark.",
    "NOISY": "The machine was not quiet: do not quote these numbers, measure again.",
    "THROTTLED": "The machine slowed itself down: do not quote these numbers, cool it and measure again.",
}


def data(results: Mapping[str, Any]) -> dict[str, Any]:
    """Sentences and figures."""
    profile, bundle = results["profile"], results["bundle"]
    verdict = profile["validity"]["verdict"]
    return {
        "name": bundle["name"],
        "created": profile["created"],
        "headline": headline(profile),
        "explanation": explanation(profile),
        "break_even": break_even(profile),
        "accuracy": accuracy(results),
        "verdict": verdict,
        "verdict_text": _VERDICTS[verdict],
        "figures": _figures(profile),
    }


def headline(profile: Mapping[str, Any]) -> str:
    """What was gained, in one sentence that stays true when nothing was."""
    ratios, variants, main = profile["ratios"], profile["variants"], profile["main"]
    if ratios is None:
        found = f"{ms(variants[main]['typical_ms'])} ms for {macs(profile['macs']['dense'])} multiply-accumulates"
        if _pixels(profile):
            return f"{found} with every pixel open; layers decide for every pixel, and nothing to compare it with."
        return f"{found}; a network without gates, and nothing to compare it with."
    speed, share = ratios["measured"], 1 / ratios["theoretical"]
    batch = profile["settings"]["batch"]
    unit = "image" if batch == 1 else f"batch of {batch}"
    before, than = ms(variants[profile["baseline"]]["typical_ms"]), baseline(profile)
    times = f"{ms(variants[main]['typical_ms'])} ms instead of {before} ms per {unit}"
    work = f"{percent(share, 0)} of the multiply-accumulates"
    if speed > 1 + _SAME:
        return f"{speed:.2f}× faster than {than}: {times}, with {work}."
    if speed < 1 - _SAME:
        return f"{1 / speed:.2f}× slower than {than}, although it needs only {work}: {times}."
    return f"No faster than {than}, although it needs only {work}: {times}."


def explanation(profile: Mapping[str, Any]) -> str:
    """How much of the possible gain became time, and where the rest went."""
    ratios = profile["ratios"]
    if ratios is None and _pixels(profile):
        return (
            f"{_pixels(profile)} layers decide for every pixel; a device does not record which are open. The bundle "
            "holds no network with whole layers to compare with: export with --parent to measure it too."
        )
    if ratios is None:
        kernels = profile["bundle"].get("kernels")
        return "The bundle holds no network before channels were removed: export with --parent to measure it too." + (
            f" In this one {kernels}." if kernels else ""
        )
    text = (
        f"{ratios['theoretical']:.2f}× less work could have made it {ratios['theoretical']:.2f}× faster; "
        f"{percent(ratios['efficiency'], 0)} of that factor was reached (the efficiency). "
    )
    if _pixels(profile):
        text += (
            f"{_pixels(profile)} layers decide for every pixel. Work is counted as if every pixel were open: a device "
            "does not record which are."
        )
    elif profile["bundle"].get("kernels"):
        text += f"It has no gates: removed channels are gone from the file; {profile['bundle']['kernels']}."
    elif ratios["overhead"] is None:
        text += "It has no gates: removed channels are gone from the file, and the target's own kernels do the rest."
    elif ratios["overhead"] > 1 + _SAME:
        text += f"With every gate open it takes {ratios['overhead']:.2f}× the time of the dense one: the overhead."
    else:
        text += (
            f"With every gate open it takes {ratios['overhead']:.2f}× the time of the dense one: what is gained there "
            "comes from our kernels, not from the gates."
        )
    return text


def _pixels(profile: Mapping[str, Any]) -> int:
    """Layers that decide for every pixel; profiles of older releases do not say."""
    return int(profile["bundle"].get("pixel_gated", 0))


def break_even(profile: Mapping[str, Any]) -> str | None:
    """The share of MACs below which gating pays, from a straight line through two measured points."""
    typical = {name: engine["typical_ms"] for name, engine in profile["variants"].items()}
    if profile["main"] != GATED or profile["baseline"] != DENSE:
        return None
    share = 1 / profile["ratios"]["theoretical"]
    if not typical["gated"] < typical["open"] or not 0 < share < 1:
        return None
    point = share_that_pays(share, typical["gated"], typical["open"], typical["dense"])
    if point == 1:
        return "On this machine the gated network is no slower than the dense one even with every gate open."
    if point is None:
        return "At this size no share of open channels would pay on this machine."
    return (
        f"Break-even: below about {percent(point, 0)} of the dense MACs gating pays on this machine "
        "(a straight line through the all-open and the trained network)."
    )


def accuracy(results: Mapping[str, Any]) -> str | None:
    """What the gates cost in accuracy and what the engine costs on top, as far as it was measured."""
    training, validation = results.get("training"), results.get("validation")
    parts = []
    if training and training.get("accuracy") is not None and training.get("dense_accuracy") is not None:
        what = "with gates" if results["profile"]["main"] == GATED else "as trained"
        parts.append(
            f"{percent(training['accuracy'], 2)} {what} against {percent(training['dense_accuracy'], 2)} for the "
            "dense network in PyTorch"
        )
    if validation:
        level = validation["L2"]
        if level["kind"] != "accuracy":
            return level["summary"]
        parts.append(
            f"{percent(level['accuracy'], 2)} in this engine against {percent(level['reference_accuracy'], 2)} for the "
            f"same network in PyTorch on {level['samples']} samples"
        )
    return f"Accuracy: {'; '.join(parts)}." if parts else None


def _interval(ratios: Mapping[str, Any]) -> str:
    ends = ratios["measured_interval"]
    return "" if ends is None else f"; 95 % interval {ends[0]:.2f} to {ends[1]:.2f}"


def _figures(profile: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    ratios, cost = profile["ratios"], profile["macs"]
    if ratios is None:
        of = "if every pixel is open" if _pixels(profile) else "of every sample"
        return [(macs(cost["dense"]), "MACs", of)]
    full = cost["dense"] if cost["parent"] is None else cost["parent"]
    over = (
        "dense time over gated time" if profile["baseline"] == DENSE else "time before channels were removed over now"
    )
    figures = [
        (f"{ratios['measured']:.2f}×", "measured speed-up", over + _interval(ratios)),
        (f"{ratios['theoretical']:.2f}×", "less work", f"{macs(full)} to {macs(cost['gated_mean'])} MACs"),
        (percent(ratios["efficiency"], 0), "efficiency", "measured over theoretical"),
    ]
    if ratios["overhead"] is not None:
        figures.append((f"{ratios['overhead']:.2f}×", "overhead", "all gates open over dense"))
    return figures
