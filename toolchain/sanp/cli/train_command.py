"""`sanp train`: the stages of a method against a budget of MACs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sanp.cli.console import out, print_json
from sanp.cli.verb import verb
from sanp.settings.toml import settings_lines
from sanp.settings.train import TrainSettings


def _with_options(values: Mapping[str, Any]) -> TrainSettings:
    """Settings of every run and options of the method, which stand side by side in the file and in --set."""
    from sanp.pipeline.train import chosen_settings

    return chosen_settings(**values)


def _options_of_methods() -> str:
    """The options of every method, as comments below the settings of every run."""
    from sanp.methods.registry import METHODS, find

    lines = []
    for name in METHODS:
        lines += ["", f'# and with method = "{name}":', *(f"# {line}" for line in settings_lines(find(name).Settings))]
    return "\n".join(lines)


@verb(TrainSettings, make=_with_options, more=_options_of_methods)
def train(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the output folder.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an earlier run in the output folder.")] = False,
    *,
    settings: TrainSettings,
    as_json: bool,
) -> None:
    """Train a backbone and make it cheaper by a method: gates, or fewer channels, against a budget of MACs.

    With --int8 the network learns in a last stage with the rounding of sanp compile --int8; with --trained and the
    checkpoint of a whole run that is the only stage, and the settings of that run are the defaults.

    With --budget-latency and the latency table of the network (sanp profile --table) the budget is a time instead.

    Example: sanp train --model m-cifarnet --width 0.25 --dataset digits --budget 0.35 -o runs/digits
    """
    from sanp.pipeline.train import train as run

    result = run(settings=settings, output=output, resume=resume, replace=replace)
    summary = {
        "kind": "training",
        "checkpoint": str(result.checkpoint),
        "dense_accuracy": result.dense_accuracy,
        "accuracy": result.accuracy,
        "cost": result.cost,
        **({"latency": result.latency.to_json()} if result.latency is not None else {}),
    }
    if as_json:
        print_json(summary)
        return
    dense = "" if result.dense_accuracy is None else f" (dense {result.dense_accuracy:.2%})"
    out.print(f"{result.checkpoint}: accuracy {result.accuracy:.2%}{dense} at {result.cost:.1%} of the dense MACs")
    if (latency := result.latency) is not None:
        out.print(
            f"predicted on {latency.device_name}: {latency.predicted_ms:.4g} ms per image, budget "
            f"{latency.budget_ms:g} ms, dense {latency.dense_ms:.4g} ms"
        )
