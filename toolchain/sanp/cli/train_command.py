"""`sanp train`: pretrain, warm-up and joint training against a budget of MACs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sanp.cli.console import out, print_json
from sanp.cli.verb import Config, Json
from sanp.settings.toml import read_file
from sanp_targets.errors import ConfigError


def train(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    config: Config = None,
    model: Annotated[str | None, typer.Option(help="Backbone: m-cifarnet, vgg-19 or resnet-18.")] = None,
    width: Annotated[float | None, typer.Option(help="Factor on every channel count.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data set's files.")] = None,
    budget: Annotated[float | None, typer.Option(help="Mean MACs to reach, as a share of the dense network.")] = None,
    policy: Annotated[str | None, typer.Option(help="What decides: sanp, static, fixed-k, random or oracle.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, as key=value; see --list-settings.")
    ] = None,
    list_settings: Annotated[bool, typer.Option("--list-settings", help="Print every setting and exit.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the output folder.")] = False,
    json_: Json = False,
) -> None:
    """Train a gated network: backbone, gates, then both against a budget of multiply-accumulates.

    Example: sanp train --model m-cifarnet --width 0.25 --dataset digits --budget 0.35 -o runs/digits
    """
    from sanp.pipeline.train import train as run
    from sanp.training import TrainConfig

    if list_settings:
        for name, field in TrainConfig.model_fields.items():
            out.print(f"{name} = {field.get_default(call_default_factory=True)!r}  # {field.description}")
        return
    flags: dict[str, Any] = {
        "model": model,
        "width": width,
        "dataset": dataset,
        "data_root": data_root,
        "budget": budget,
        "policy": policy,
        "seed": seed,
        "device": device,
        **_assignments(option or []),
    }
    values = {**read_file(config).get("train", {}), **{key: value for key, value in flags.items() if value is not None}}
    result = run(TrainConfig.checked(**values), output=output, resume=resume)
    summary = {
        "checkpoint": str(result.checkpoint),
        "dense_accuracy": result.dense_accuracy,
        "accuracy": result.accuracy,
        "cost": result.cost,
    }
    if json_:
        print_json(summary)
        return
    out.print(
        f"{result.checkpoint}: accuracy {result.accuracy:.2%} (dense {result.dense_accuracy:.2%}) "
        f"at {result.cost:.1%} of the dense MACs"
    )


def _assignments(pairs: list[str]) -> dict[str, Any]:
    """key=value pairs; values are JSON where they parse as JSON, text otherwise."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign:
            raise ConfigError(f"--set {pair}: expected key=value; see `sanp train --list-settings -o .`")
        try:
            values[key.strip().replace("-", "_")] = json.loads(text)
        except json.JSONDecodeError:
            values[key.strip().replace("-", "_")] = text
    return values
