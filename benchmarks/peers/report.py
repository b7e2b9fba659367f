"""The tables of a peers run, in Markdown."""

from __future__ import annotations

from typing import Any

from peers.catalog import BASELINE, BY_NAME

# A machine with nothing else to do stays well below; the masks of different samples cause about 5 %.
UNSTEADY = 0.15


def tables(report: dict[str, Any]) -> str:
    """One table per network, thread scaling at its right, then what was not measured and why."""
    parts = [f"{conditions(report)}\n"]
    for name, network in report["networks"].items():
        parts.append(network_table(name, network))
    return "\n".join(parts)


def conditions(report: dict[str, Any]) -> str:
    """One paragraph: machine, load, versions."""
    machine = report["machine"]
    loads = [cell["load"] for network in report["networks"].values() for cell in network["cells"]]
    spread = f"{min(loads):.1f} to {max(loads):.1f}" if loads else "not known"
    versions = {e["settings"]["version"] for e in _measured(report)}
    ours = [e["settings"] for e in _measured(report) if "isa" in e["settings"]]
    isa = {f"SANP {settings['sanp']} ({settings['isa']})" for settings in ours}
    return (
        f"{machine['cpu']}, {machine['cores']} cores, load average {spread} while measuring, "
        f"{', '.join([*sorted(isa), *sorted(versions), 'Python ' + machine['python']])}. "
        f"Medians of wall-clock time; a * marks a middle half of the calls wider than {UNSTEADY:.0%} of the median."
    )


def _measured(report: dict[str, Any]) -> list[dict]:
    cells = [cell for network in report["networks"].values() for cell in network["cells"]]
    return [engine for cell in cells for engine in cell["engines"].values() if "median_ms" in engine]


def network_table(name: str, network: dict[str, Any]) -> str:
    """Rows are engines, columns are batch x threads: milliseconds and the speed-up over dense ONNX Runtime."""
    cells = network["cells"]
    threads = sorted({cell["threads"] for cell in cells})
    batches = sorted({cell["batch"] for cell in cells})
    head = ["engine", "MACs", *(f"batch {c['batch']}, {_threads(c['threads'])}" for c in cells)]
    if len(threads) > 1:
        head += [f"batch {batch}, {threads[0]} to {threads[-1]} threads" for batch in batches]
    lines = [f"**{name}**, {network['macs'] / 1e6:.1f} M multiply-adds dense\n", _row(head), _row(["---"] * len(head))]
    for engine, share in network["shares"].items():
        values = [BY_NAME[engine].label, f"{share:.1%}", *(_cell(cell, engine) for cell in cells)]
        if len(threads) > 1:
            values += [_scaling(cells, engine, batch, threads) for batch in batches]
        lines.append(_row(values))
    return "\n".join([*lines, "", *_reasons(cells)])


def _threads(count: int) -> str:
    return f"{count} thread" + ("s" if count > 1 else "")


def _row(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def _cell(cell: dict[str, Any], engine: str) -> str:
    result = cell["engines"][engine]
    if "median_ms" not in result:
        return "not measured"
    base = cell["engines"].get(BASELINE, {}).get("median_ms")
    unsteady = result["q3_ms"] - result["q1_ms"] > UNSTEADY * result["median_ms"]
    text = f"{result['median_ms']:.2f}{'*' if unsteady else ''} ms"
    return f"{text}, {base / result['median_ms']:.2f}x" if base else text


def _scaling(cells: list[dict], engine: str, batch: int, threads: list[int]) -> str:
    found = {c["threads"]: c["engines"][engine].get("median_ms") for c in cells if c["batch"] == batch}
    first, last = found.get(threads[0]), found.get(threads[-1])
    return f"{first / last:.2f}x" if first and last else "-"


def _reasons(cells: list[dict]) -> list[str]:
    reasons: dict[str, str] = {}
    for cell in cells:
        for engine, result in cell["engines"].items():
            if "not_measured" in result:
                reasons.setdefault(engine, result["not_measured"])
    return [f"Not measured: {BY_NAME[engine].label}: {reason}\n" for engine, reason in reasons.items()]
