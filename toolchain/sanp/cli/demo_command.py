"""`sanp demo`: everything once, in a few minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.console import out, step


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything that is made.")] = Path("demo"),
    duration: Annotated[float, typer.Option(help="Seconds of latency measurement.")] = 10.0,
) -> None:
    """Train a small gated network on handwritten digits, export, compile, validate, profile, and write a report.

    Example: sanp demo -o demo
    """
    from sanp.pipeline.demo import demo as run

    started = time.monotonic()
    results = run(output, duration=duration, say=step)
    training, validity = results["training"], results["profile"]["validity"]
    out.print()
    out.print(
        f"Accuracy {training['accuracy']:.1%} gated, {training['dense_accuracy']:.1%} dense, "
        f"at {training['cost']:.1%} of the dense MACs on the test set."
    )
    for line in results["summaries"]:
        out.print(line, markup=False)
    out.print(f"[bold]{results['headline']}[/]")
    out.print(f"Measurement: {validity['verdict']}. {' '.join(validity['reasons'])}", markup=False)
    out.print(f"Report: {results['page'].resolve()}  ({time.monotonic() - started:.0f} s in all)", markup=False)
