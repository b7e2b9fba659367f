"""`sanp compare`: methods side by side, from training to measured latency."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.console import out, print_json, step, table
from sanp.cli.verb import verb
from sanp.settings.compare import CompareSettings
from sanp_targets.errors import ValidationError


@verb(CompareSettings)
def compare(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the comparison; a call goes on there.")],
    *,
    settings: CompareSettings,
    as_json: bool,
) -> None:
    """Train methods from the same backbones with equal epochs, deploy all of them, and tell which ones are worth it.

    The same command again does what is missing. `--until train` ends after training: copy the folder to the machine
    that is to be measured and call it there without.

    Example: sanp compare --methods "dense narrow sanp static" --budgets "[0.35]" --seeds "[0]" -o comparison
    """
    from sanp.pipeline.compare.compare import compare as run

    made = run(output, settings, log=step, progress=not as_json)
    if as_json:
        print_json(made.result)
    else:
        _print(made.result["points"])
        if made.page is not None:
            out.print(str(made.page))
    if made.failed:
        first, sentence = next(iter(made.failed.items()))
        raise ValidationError(
            f"{len(made.failed)} of the cells failed, the first is {first}: {sentence}; the same command tries again"
        )


def _print(points: list[dict[str, object]]) -> None:
    columns = [("method", "left"), *((name, "right") for name in ("budget", "accuracy", "cost", "p50 ms", "dominated"))]
    rows = []
    for point in points:
        means = [point[name]["mean"] if point[name] else None for name in ("accuracy", "cost", "p50_ms")]  # type: ignore[index]
        shown = ["–" if value is None else f"{value:.1%}" for value in means[:2]]
        marks = [name for name, key in (("MACs", "dominated_macs"), ("ms", "dominated_ms")) if point[key]]
        budget = "–" if point["budget"] is None else f"{point['budget']:.0%}"
        budget = str(point["latency_budget"] or budget)
        time = "–" if means[2] is None else f"{means[2]:.3f}"
        rows.append([str(point["label"]), budget, *shown, time, ", ".join(marks) or "no"])
    out.print(table(None, columns, rows))
