"""The tables of a peers run, in Markdown."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.peers.catalog import BASELINE, BY_NAME
from benchmarks.peers.cores import NEAR_NS

# A machine with nothing else to do stays well below; the masks of different samples cause about 5 %.
UNSTEADY = 0.15
_VALUES = {"wall": "median_ms", "cpu": "cpu_ms"}


def tables(report: dict[str, Any], clock: str = "wall") -> str:
    """The conditions and one table per network. clock "cpu" shows processor time, of the cells with one thread."""
    parts = [f"{conditions(report, clock)}\n"]
    return "\n".join(parts + [network_table(name, network, clock) for name, network in report["networks"].items()])


def conditions(report: dict[str, Any], clock: str) -> str:
    """One paragraph: machine, load, versions, what a number is."""
    machine = report["machine"]
    cells = [cell for network in report["networks"].values() for cell in network["cells"]]
    settings = [e["settings"] for cell in cells for e in cell["engines"].values() if "settings" in e]
    ours = {f"SANP {s['sanp']} ({s['isa']})" for s in settings if "isa" in s}
    versions = [*sorted(ours), *sorted({s["version"] for s in settings}), f"Python {machine['python']}"]
    loads = [cell["load"] for cell in cells]
    wall = f"Medians of wall-clock time; a * marks a middle half of the calls wider than {UNSTEADY:.0%} of the median."
    name = machine["cpu_model"] + (", AVX-512 ruled out" if machine.get("without_avx512") else "")
    return (
        f"{name}, {machine['cores']} cores, load average {min(loads):.1f} to {max(loads):.1f}, "
        f"{', '.join(versions)}. {wall if clock == 'wall' else 'Processor time of all threads per call.'}"
    )


def network_table(name: str, network: dict[str, Any], clock: str = "wall") -> str:
    """Rows are engines, columns are batch x threads: milliseconds, the speed-up over dense ONNX Runtime, scaling."""
    cells = [cell for cell in network["cells"] if clock == "wall" or cell["threads"] == 1]
    threads = sorted({cell["threads"] for cell in cells})
    batches = sorted({cell["batch"] for cell in cells}) if len(threads) > 1 else []
    head = ["engine", "MACs", *(f"batch {c['batch']}, {_threads(c['threads'])}" for c in cells)]
    head += [f"batch {batch}, {threads[0]} to {threads[-1]} threads" for batch in batches]
    lines = [f"**{name}**, {network['macs'] / 1e6:.1f} M multiply-adds dense\n", _row(head), _row(["---"] * len(head))]
    for engine, share in network["shares"].items():
        values = [BY_NAME[engine].label, f"{share:.1%}", *(_cell(cell, engine, _VALUES[clock]) for cell in cells)]
        lines.append(_row(values + [_scaling(cells, engine, batch, threads) for batch in batches]))
    far = [cell for cell in cells if clock == "wall" and any(_turns(e, near=False) for e in cell["engines"].values())]
    return "\n".join([*lines, "", *_int8_answers(cells), *_reasons(cells), *(_distance_table(cell) for cell in far)])


def _turns(result: dict[str, Any], near: bool) -> list[float]:
    """Medians of the turns in which the cores were near, or of the others."""
    turns = zip(result.get("turn_ms", ()), result.get("round_trip_ns", ()))
    return [ms for ms, ns in turns if (ns < NEAR_NS) == near]


def _distance_table(cell: dict[str, Any]) -> str:
    """The turns of one cell with near cores and those with distant ones."""
    timed = {name: result for name, result in cell["engines"].items() if "turn_ms" in result}
    trips = sorted(ns for result in timed.values() for ns in result["round_trip_ns"])
    where = f"Batch {cell['batch']}, {_threads(cell['threads'])}"
    lines = [
        f"{where}: a cache line took {trips[0]:.0f} to {trips[-1]:.0f} ns from core to core and back, less than "
        f"{NEAR_NS:.0f} in {sum(ns < NEAR_NS for ns in trips)} of {len(trips)} turns. Medians of the medians of the "
        "turns, in brackets how many:\n",
        _row(["engine", f"less than {NEAR_NS:.0f} ns", "more"]),
        _row(["---"] * 3),
    ]
    base = timed.get(BASELINE, {})
    for name, result in timed.items():
        sides = [_median(_turns(result, near), _turns(base, near)) for near in (True, False)]
        lines.append(_row([BY_NAME[name].label, *sides]))
    return "\n".join([*lines, ""])


def _median(turns: list[float], base: list[float]) -> str:
    if not turns:
        return "-"
    ratio = f", {statistics.median(base) / statistics.median(turns):.2f}x" if base else ""
    return f"{statistics.median(turns):.2f} ms{ratio} ({len(turns)})"


def _threads(count: int) -> str:
    return f"{count} thread" + ("s" if count > 1 else "")


def _row(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def _cell(cell: dict[str, Any], engine: str, key: str) -> str:
    result = cell["engines"][engine]
    if key not in result:
        return "not measured"
    base = cell["engines"].get(BASELINE, {}).get(key)
    unsteady = key == "median_ms" and result["q3_ms"] - result["q1_ms"] > UNSTEADY * result["median_ms"]
    text = f"{result[key]:.2f}{'*' if unsteady else ''} ms"
    return f"{text}, {base / result[key]:.2f}x" if base else text


def _scaling(cells: list[dict], engine: str, batch: int, threads: list[int]) -> str:
    found = {c["threads"]: c["engines"][engine].get("median_ms") for c in cells if c["batch"] == batch}
    first, last = found.get(threads[0]), found.get(threads[-1])
    return f"{first / last:.2f}x" if first and last else "-"


def _int8_answers(cells: list[dict]) -> list[str]:
    """How far the answers of int8 are from those of the float network that it was made of."""
    results = [(BY_NAME[name], result) for cell in cells for name, result in cell["engines"].items()]
    found = [result for engine, result in results if engine.int8 and "same_class" in result]
    if not found:
        return []
    errors, same = ([result[key] for result in found] for key in ("error", "same_class"))
    return [
        f"int8 against the float network that it was made of: logits {min(errors):.1%} to {max(errors):.1%} off (root "
        f"mean square), the same class in {min(same):.0%} to {max(same):.0%} of the samples.\n"
    ]


def _reasons(cells: list[dict]) -> list[str]:
    reasons: dict[str, str] = {}
    for cell in cells:
        for engine, result in cell["engines"].items():
            if "not_measured" in result:
                reasons.setdefault(engine, result["not_measured"])
    return [f"Not measured: {BY_NAME[engine].label}: {reason}\n" for engine, reason in reasons.items()]
