"""A profile in lines for a person; both command lines print these."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from sanp_runtime.contract import DENSE, FLOAT_DENSE, FLOAT_GATED, GATED, PARENT
from sanp_runtime.measure.verdict import NOISY, THROTTLED
from sanp_runtime.network.blocks import blocks_note
from sanp_runtime.profile import conditions_text
from sanp_runtime.profile.budgets import budget_lines
from sanp_targets.errors import MeasurementError

# Gates that a line names; the file has all of them.
_NAMED_GATES = 4


def profile_lines(profile: Mapping[str, Any]) -> List[str]:
    """A row per variant, what was gained, and the verdict. profile: `Profile.to_json()`, or a file that holds it."""
    names = {name: title(profile, name) for name in profile["variants"]}
    width = max([8, *(len(name) + 2 for name in names.values())])
    lines = [f"{'':{width}}{'p50 ms':>10}{'p90 ms':>10}{'p99 ms':>10}{'mean ms':>10}{'calls':>8}"]
    for name, times in profile["variants"].items():
        block = times["latency"]
        p99 = "-" if block["p99"] is None else f"{block['p99']:.3f}"
        lines.append(
            f"{names[name]:{width}}{block['p50']:10.3f}{block['p90']:10.3f}{p99:>10}{block['mean']:10.3f}{block['count']:8}"
        )
    lines += stall_lines(profile)
    lines.append(ratio_line(profile))
    lines += float_lines(profile)
    lines += gate_lines(profile)
    lines += gap_lines(profile)
    lines += budget_lines(rows, profile["macs"]["dense"]) if (rows := profile.get("budgets")) else []
    lines += [blocks] if (blocks := blocks_note(profile["bundle"].get("blocks", 0))) else []
    lines += [kernels] if (kernels := profile["bundle"].get("kernels")) else []
    lines += [profile["tuning_note"]] if profile["tuning_note"] else []
    lines += [*conditions_text.control_lines(profile), *conditions_text.energy_lines(profile, title)]
    return [*lines, f"verdict: {verdict_line(profile)}"]


def title(profile: Mapping[str, Any], variant: str) -> str:
    """What the table calls a variant: a network without gates has no variant "dense" to speak of, it is that."""
    if variant == PARENT:
        return "before pruning"
    if FLOAT_GATED in profile["variants"]:
        return {FLOAT_DENSE: "float32 dense", FLOAT_GATED: "float32 gated"}.get(variant, f"int8 {variant}")
    return "pruned" if profile["main"] == DENSE and PARENT in profile["variants"] else variant


def ratio_line(profile: Mapping[str, Any]) -> str:
    """What was gained over the baseline, in one line."""
    ratios, pixels = profile["ratios"], profile["bundle"].get("pixel_gated", 0)
    if ratios is None and pixels:
        return (
            f"{pixels} layers decide for every pixel: MACs are those with every pixel open, since open pixels are not "
            "recorded, and the bundle has no parent to compare with"
        )
    if ratios is None:
        return "a network without gates, and no parent in the bundle: there is nothing to compare it with"
    line = (
        f"{ratios['measured']:.2f}x{interval_text(ratios)} the speed of {title(profile, profile['baseline'])} at 1/"
        f"{ratios['theoretical']:.2f} of its MACs (efficiency {ratios['efficiency']:.2f})"
    )
    if ratios["overhead"] is not None:
        line += f"; all gates open: {ratios['overhead']:.2f}x the dense time"
    if profile["bundle"]["parent_weights"] == "untrained":
        line += "; the network before pruning has random weights, on which latency does not depend"
    if pixels:
        line += f"; MACs are those with every pixel of {pixels} layers open, since open pixels are not recorded"
    return line


def interval_text(ratios: Mapping[str, Any]) -> str:
    """The 95 % interval of the measured ratio in brackets, with a space before it; empty where there is none."""
    ends = ratios["measured_interval"]
    return "" if ends is None else f" (95 % interval {ends[0]:.2f} to {ends[1]:.2f})"


def float_lines(profile: Mapping[str, Any]) -> List[str]:
    """What bytes gain over the same network as float32, in one line; none for a bundle without float32 beside it."""
    typical = {name: row["typical_ms"] for name, row in profile["variants"].items()}
    if FLOAT_GATED not in typical:
        return []
    return [
        f"bytes against float32: {typical[FLOAT_DENSE] / typical[DENSE]:.2f}x the speed dense, "
        f"{typical[FLOAT_GATED] / typical[GATED]:.2f}x gated; int8 gated against float32 dense: "
        f"{typical[FLOAT_DENSE] / typical[GATED]:.2f}x"
    ]


def gate_lines(profile: Mapping[str, Any]) -> List[str]:
    """The gates that cost more than they save, in one line; none if all of them pay or their times are not known."""
    rows = [row for row in profile.get("gates", ()) if row["saved_ms"] <= row["price_ms"]]
    if not rows:
        return []
    rows.sort(key=lambda row: row["saved_ms"] - row["price_ms"])
    named = [f"{row['layer']} ({row['price_ms']:.3f} ms for {row['saved_ms']:.3f})" for row in rows[:_NAMED_GATES]]
    more = f" and {len(rows) - len(named)} more" if len(rows) > len(named) else ""
    return [
        f"{len(rows)} of {len(profile['gates'])} gates cost more than they save by the times per node: "
        f"{', '.join(named)}{more}; gate without them (layers=auto or their names)"
    ]


def gap_lines(profile: Mapping[str, Any]) -> List[str]:
    """The lost time of all layers by cause, in one line; none where nothing was lost or no layer's time is known."""
    rows = [row for row in (profile.get("gap") or {"layers": ()})["layers"] if row["cause"] is not None]
    causes: Dict[str, List[float]] = {}
    for row in rows:
        causes.setdefault(row["cause"], []).append(row["lost_ms"])
    if not causes:
        return []
    ordered = sorted(causes.items(), key=lambda pair: -sum(pair[1]))
    named = [f"{cause} {sum(lost):.3f} ms in {len(lost)} layer{'s' * (len(lost) > 1)}" for cause, lost in ordered]
    return [f"saved work that did not become saved time, by the times per node: {', '.join(named)}"]


def stall_lines(profile: Mapping[str, Any]) -> List[str]:
    """Rare long stalls, which percentiles hide: how many calls of each variant, the longest, and the time they took."""
    return conditions_text.stall_lines(profile, title)


def verdict_line(profile: Mapping[str, Any]) -> str:
    """The verdict with its reasons."""
    validity = profile["validity"]
    return f"{validity['verdict']}  {'; '.join(validity['reasons'])}".rstrip()


def require_valid(profile: Mapping[str, Any]) -> None:
    """Raise MeasurementError if the numbers must not be quoted (NOISY or THROTTLED)."""
    if profile["validity"]["verdict"] in (NOISY, THROTTLED):
        raise MeasurementError(
            f"the measurement is {profile['validity']['verdict']}, expected a quiet machine; stop what the reasons in "
            "the result name and measure again, or pass --allow-invalid"
        )
