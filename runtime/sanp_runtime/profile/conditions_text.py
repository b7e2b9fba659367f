"""The conditions of a profile in lines for a person: stalls, power mode, fixed clocks, energy."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping

Title = Callable[[Mapping[str, Any], str], str]


def stall_lines(profile: Mapping[str, Any], title: Title) -> List[str]:
    """Rare long stalls, which medians hide: how many calls of each variant, the longest, and what they took."""
    return [
        f"{title(profile, name)}: {row['count']} of {row['calls']} calls took more than {row['factor']:g} times their "
        f"median, the longest {row['longest_ms']:.3f} ms; {row['lost_ms']:.1f} ms lost, {row['lost_share']:.1%} of its "
        "time"
        for name, row in profile.get("stalls", {}).items()
        if row["count"]
    ]


def control_lines(profile: Mapping[str, Any]) -> List[str]:
    """Power mode and clocks that were held, and what could not be set back."""
    mode, controls = profile.get("power_mode"), profile.get("controls") or {}
    lines = []
    if mode is not None:
        back = f", set back to {mode['before']}" if mode["before"] not in (None, mode["name"]) else ""
        lines.append(f"power mode: {mode['name'] or mode['id']}{back}")
    if controls.get("clocks_fixed_by"):
        lines.append(f"clocks fixed by {controls['clocks_fixed_by']} for the measurement")
    return lines + [f"not set back: {problem}" for problem in controls.get("not_restored", ())]


def energy_lines(profile: Mapping[str, Any], title: Title) -> List[str]:
    """Energy per inference, the rail, the window; none if it was not asked for."""
    found = profile.get("energy")
    if found is None:
        return []
    if found["meter"] is None:
        return [f"energy: {found['missing']}"]
    lines = []
    for name, row in found["variants"].items():
        if row["inference_j"] is None:
            continue
        above = "" if row["above_idle_j"] is None else f", {1e3 * row['above_idle_j']:.3f} mJ above idle"
        lines.append(
            f"energy of {title(profile, name)}: {1e3 * row['inference_j']:.3f} mJ per inference{above} "
            f"({found['total']} by {found['meter']}, {row['watts']:.2f} W over {row['window_s']:.1f} s, "
            f"{row['samples']} samples)"
        )
    lines += [f"energy: {found['note']}"] if lines and found["note"] else []
    return lines + ([f"energy: {found['missing']}"] if found["missing"] else [])
