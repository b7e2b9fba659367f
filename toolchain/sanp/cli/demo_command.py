"""`sanp demo`: everything once, in a few minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.console import out, print_json, step, styled
from sanp.cli.verb import verb
from sanp.settings.demo import DemoSettings


@verb(DemoSettings)
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything that is made.")] = Path("demo"),
    *,
    settings: DemoSettings,
    as_json: bool,
) -> None:
    """Train a small gated network on handwritten digits, export, compile, validate, profile, and write a report.

    Example: sanp demo -o demo
    """
    from sanp.pipeline.demo import demo as run
    from sanp_runtime.profile.text import float_lines

    started = time.monotonic()
    results = run(output, settings, log=step)
    training, validity = results["training"], results["profile"]["validity"]
    seconds = time.monotonic() - started
    if as_json:
        summary = {key: training[key] for key in ("dense_accuracy", "accuracy", "cost")}
        summary.update(passed=results["validation"]["passed"], verdict=validity["verdict"], seconds=seconds)
        summary.update(ratios=results["profile"]["ratios"], report=str(results["page"]))
        print_json(summary)
        return
    out.print()
    out.print(
        f"Accuracy {training['accuracy']:.1%} gated, {training['dense_accuracy']:.1%} dense, "
        f"at {training['cost']:.1%} of the dense MACs on the test set."
    )
    for line in results["summaries"]:
        out.print(line)
    out.print(styled((results["headline"], "bold")))
    out.print(f"Measurement: {validity['verdict']}. {' '.join(validity['reasons'])}")
    for line in float_lines(results["int8"]["profile"]) if results["int8"] else []:
        out.print(f"In int8: {line}. Measurement: {results['int8']['profile']['validity']['verdict']}.")
    out.print(f"Report: {results['page'].resolve()}  ({seconds:.0f} s in all)")
