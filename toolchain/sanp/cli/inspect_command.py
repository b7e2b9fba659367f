"""`sanp inspect`: look into a checkpoint, a model or a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sanp.cli.compile_command import print_choices
from sanp.cli.console import out, print_json, styled, table
from sanp.cli.tuning_table import print_tuning
from sanp.cli.verb import verb
from sanp.settings.base import Settings


@verb()
def inspect(
    file: Annotated[Path, typer.Argument(help="Checkpoint (.safetensors), model (.onnx) or bundle (directory).")],
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Show layers, gates, MACs, inputs and outputs of a file.

    Example: sanp inspect model.sanp
    """
    from sanp.pipeline.compile.fold import summary as fold_summary
    from sanp.pipeline.compile.int8.summary import summary as int8_summary
    from sanp.pipeline.inspect import inspect as run
    from sanp_runtime.bundle.budgets import lines as budget_lines

    found = run(file)
    if as_json:
        print_json(found)
        return
    out.print(styled((found["kind"], "bold"), f" {found['name']}"))
    columns = [("layer", "left"), ("channels", "right"), ("kernel", "right"), ("output", "right"), ("gate", "left")]
    columns += [("MACs", "right"), ("gate MACs", "right"), ("input channels from", "left")]
    rows = [
        [
            row["name"],
            f"{row['channels'][0]} -> {row['channels'][1]}",
            "x".join(map(str, row["kernel"])) + (f" /{row['groups']}" if row["groups"] > 1 else ""),
            "x".join(map(str, row["output"])),
            "yes" if row["gated"] else "follows " + ", ".join(row["follows"]) if row["follows"] else "",
            f"{row['macs']:,}",
            f"{row['gate_macs']:,}" if row["gate_macs"] else "",
            " | ".join(row["input_gates"]),
        ]
        for row in found["layers"]
    ]
    out.print(table(None, columns, rows))
    out.print(f"{found['gated_layers']} gated layers, {found['dense_macs']:,} dense MACs, ", end="")
    out.print(f"{found['gate_macs']:,} MACs of gates ({found['gate_macs'] / found['dense_macs']:.3%})")
    for name, shape in found["inputs"].items():
        out.print(f"input   {name} {shape}")
    for name, shape in found["outputs"].items():
        out.print(f"output  {name} {shape}")
    print_choices("kernel  ", found)
    for line in fold_summary(found["fold"]) if found.get("fold") else []:
        out.print(f"folded  {line}")
    for line in int8_summary(found["int8"]) if found.get("int8") else []:
        out.print(f"int8    {line}")
    for line in budget_lines(found["budgets"], found["dense_macs"]) if found.get("budgets") else []:
        out.print(line)
    if found.get("tuning"):
        print_tuning(found["tuning"])
    for key, value in found["about"].items():
        for line in _lines(key, value):
            out.print(line)


def _lines(key: str, value: Any, indent: str = "") -> list[str]:
    """A fact in words: a dictionary as a line per entry below its name, a list joined, nothing for what is absent."""
    if value is None or value in ("", {}, [], ()):
        return []
    if isinstance(value, (list, tuple)):
        if not any(isinstance(item, (dict, list, tuple)) for item in value):
            return [f"{indent}{key}: {', '.join(map(str, value))}"]
        value = {str(index): item for index, item in enumerate(value)}
    if isinstance(value, dict):
        inner = [line for name, item in value.items() for line in _lines(str(name), item, indent + "  ")]
        return [f"{indent}{key}:", *inner] if inner else []
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return [f"{indent}{key}: {value}"]
