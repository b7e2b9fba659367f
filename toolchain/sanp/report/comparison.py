"""A comparison of methods for people: a page of Markdown tables, and two plots as SVG files of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sanp.report.numbers import ms
from sanp.report.svg import Plot

PAGE, DATA, MACS_PLOT, LATENCY_PLOT = "comparison.md", "comparison.json", "pareto-macs.svg", "pareto-latency.svg"
_COLOURS = (
    "#1f2937", "#6b7280", "#0f7f6e", "#2563eb", "#b45309", "#7c3aed", "#be185d", "#15803d", "#0891b2", "#a16207",
    "#dc2626", "#4338ca", "#9d174d", "#065f46",
)  # fmt: skip
_STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#444}.tick,.note{font-size:11px;fill:#666}.grid{stroke:#e5e2da}"
    ".axis{stroke:#888}.front{fill:none;stroke:#999;stroke-dasharray:4 4}</style>"
    '<rect width="100%" height="100%" fill="#ffffff"/>'
)


def page(result: Mapping[str, Any], plots: Sequence[str]) -> str:
    """The text of comparison.md. result: content of comparison.json; plots: names of the SVG files that exist."""
    lines = ["# Methods side by side", "", *_about(result["settings"]), ""]
    lines += [line for name in plots for line in (f"![{name.removesuffix('.svg')}]({name})", "")]
    lines += _table(result["points"], result["reference"])
    lines += _at_equal_time(result["points"])
    failures = [row for row in result["rows"] if row["error"]]
    if failures:
        lines += ["", "## What failed", ""]
        lines += [f"- {row['label']}, budget {_goal(row)}, seed {row['seed']}: {row['error']}" for row in failures]
    lines += ["", "## Every run", "", *_runs(result["rows"])]
    return "\n".join(lines) + "\n"


def plot(points: Sequence[Mapping[str, Any]], axis: str) -> str | None:
    """Accuracy against "cost" (share of the dense MACs) or "p50_ms", as one SVG file; None without points.

    A filled dot is on the front, a hollow one is dominated; bars reach from the worst to the best seed.
    """
    shown = [point for point in points if point[axis] is not None]
    if not shown:
        return None
    factor, mark, label = {
        "cost": (100, "dominated_macs", "mean cost, % of the multiply-accumulates of the dense network"),
        "p50_ms": (1, "dominated_ms", "measured p50, milliseconds per image"),
    }[axis]
    xs = [factor * point[axis][end] for point in shown for end in ("min", "max")]
    ys = [100 * point["accuracy"][end] for point in shown for end in ("min", "max")]
    made = Plot(_around(xs), _around(ys), label, "accuracy on the test split, %", "Accuracy against cost", height=380)
    front = sorted((p for p in shown if not p[mark]), key=lambda p: p[axis]["mean"])
    made.line([(factor * p[axis]["mean"], 100 * p["accuracy"]["mean"]) for p in front], "front")
    colours = _colours(points)
    for point in shown:
        _mark(made, point, factor * point[axis]["mean"], colours[point["label"]], hollow=bool(point[mark]))
    return _standalone(made, colours)


def _mark(made: Plot, point: Mapping[str, Any], x: float, colour: str, hollow: bool) -> None:
    at, accuracy = made.px(x), point["accuracy"]
    low, high, middle = (made.py(100 * accuracy[key]) for key in ("min", "max", "mean"))
    fill = "#ffffff" if hollow else colour
    made.parts.append(f'<path d="M{at:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-width="1.2"/>')
    made.parts.append(
        f'<circle cx="{at:.1f}" cy="{middle:.1f}" r="4" fill="{fill}" stroke="{colour}" stroke-width="1.6"/>'
    )


def _standalone(made: Plot, colours: Mapping[str, str]) -> str:
    """The plot with its style inside and a legend below."""
    from html import escape

    columns, top = 4, made.height + 14
    for index, (label, colour) in enumerate(colours.items()):
        x, y = 66 + 112 * (index % columns), top + 17 * (index // columns)
        made.parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>')
        made.parts.append(f'<text class="note" x="{x + 8}" y="{y + 4}">{escape(label[:18])}</text>')
    total = top + 17 * ((len(colours) + columns - 1) // columns) + 6
    inner = made.render()
    inner = inner.replace(f' {made.height}" role', f' {total}" width="780" role', 1)
    head, _, body = inner.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg">{_STYLE}{body}\n'


def _colours(points: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    labels = list(dict.fromkeys(point["label"] for point in points))
    return {label: _COLOURS[index % len(_COLOURS)] for index, label in enumerate(labels)}


def _about(settings: Mapping[str, Any]) -> list[str]:
    training = settings["training"]
    return [
        f"{_backbone(training)} on {training['dataset']} at {training['image_size']}x"
        f"{training['image_size']}, {settings['epochs']} epochs for every run. Methods that start from a trained "
        f"backbone share that of their seed; its {settings['pretrain_epochs']} epochs count. Accuracy is that of the "
        "last epoch on the test split, not of the best one.",
        f"Target {settings['target']}; latency is one image per call in one thread. Networks without gates run in the "
        "target's own kernels, gated ones in ours; one that gates pixels has no dense network beside it. A point is "
        "dominated if another one is at least as accurate and as cheap, and better in one of the two.",
    ]


def _table(points: Sequence[Mapping[str, Any]], reference: str | None) -> list[str]:
    than = f"minus {reference}, points, seed by seed" if reference else "-"
    lines = [
        f"| method | budget, % of MACs or ms | cost, % of dense | accuracy, % | {than} | p50, ms | times faster "
        "| dominated: MACs, ms | validated |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for point in points:
        gaps = ", ".join(f"{100 * value:+.1f}" for value in point["minus_reference"].values()) or "–"
        marks = ", ".join(_yes(point[name]) for name in ("dominated_macs", "dominated_ms"))
        cells = [
            point["label"], _goal(point), _range(point["cost"], 100, 1), _range(point["accuracy"], 100, 1),
            gaps, _range(point["p50_ms"], 1, 3), _range(point["speed_up"], 1, 2), marks, _yes(point["validated"]),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _at_equal_time(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Networks that were trained for a time, beside the same method trained for MACs."""
    timed = [point for point in points if point["latency_budget"] is not None]
    if not timed:
        return []
    lines = [
        "", "## Trained for a time", "",
        "What the latency table predicts, what was measured (mean over samples), and accuracy minus that of the same "
        "method trained for MACs at equal measured time: interpolated between its budgets, seed by seed; seeds outside "
        "of them are left out.", "",
        "| method | budget | predicted, ms | measured, ms | cost, % of dense MACs | accuracy, % "
        "| minus trained for MACs, points |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for point in timed:
        gaps = ", ".join(f"{100 * value:+.1f}" for value in point["minus_macs"].values()) or "–"
        cells = [
            point["label"], _goal(point), _range(point["predicted_ms"], 1, 4), _range(point["typical_ms"], 1, 4),
            _range(point["cost"], 100, 1), _range(point["accuracy"], 100, 1), gaps,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _runs(table: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| method | budget, % of MACs or ms | seed | accuracy, % | cost, % | p50, ms | dense p50, ms | verdict "
        "| failed levels | trained, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        failed = "–" if row["failed_levels"] is None else ", ".join(row["failed_levels"]) or "none"
        cost = _number(row["cost"], 100, 1) + (" (over budget)" if row["over_budget"] else "")
        seconds = "–" if row["seconds"] is None else f"{row['seconds']:.0f}"
        cells = [
            row["label"], _goal(row), str(row["seed"]), _number(row["accuracy"], 100, 2),
            cost, ms(row["p50_ms"]), ms(row["baseline_p50_ms"]), row["verdict"] or "–",
            failed, seconds,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _range(value: Mapping[str, float] | None, factor: float, digits: int) -> str:
    if value is None:
        return "–"
    low, middle, high = (factor * value[key] for key in ("min", "mean", "max"))
    text = f"{middle:.{digits}f}"
    return text if low == high else f"{text} ({low:.{digits}f} to {high:.{digits}f})"


def _number(value: float | None, factor: float, digits: int) -> str:
    return "–" if value is None else f"{factor * value:.{digits}f}"


def _goal(row: Mapping[str, Any]) -> str:
    """What was trained for: a share of the MACs in percent, or a time."""
    if row["latency_budget"] is not None:
        return str(row["latency_budget"])
    return "–" if row["budget"] is None else f"{100 * row['budget']:g}"


def _yes(value: bool | None) -> str:
    return "–" if value is None else "yes" if value else "no"


def _around(values: Sequence[float]) -> tuple[float, float]:
    room = 0.06 * (max(values) - min(values)) or 0.05 * abs(max(values)) or 1.0
    return min(values) - room, max(values) + room


def files(result: Mapping[str, Any]) -> dict[Path, bytes]:
    """Name -> content of the page and of the plots that have points."""
    plots = {MACS_PLOT: plot(result["points"], "cost"), LATENCY_PLOT: plot(result["points"], "p50_ms")}
    drawn = {Path(name): text.encode() for name, text in plots.items() if text is not None}
    return {**drawn, Path(PAGE): page(result, [name.name for name in drawn]).encode()}


def _backbone(training: Mapping[str, Any]) -> str:
    """The backbone in words; a network of the user's own, by import path, has no width."""
    return str(training["model"]) if ":" in training["model"] else f"{training['model']} x{training['width']:g}"
