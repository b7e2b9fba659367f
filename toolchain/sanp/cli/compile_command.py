"""`sanp compile`: gated ONNX to a bundle for one target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanp.cli.console import out, print_json
from sanp.cli.options import Config, Json
from sanp.settings import CompileSettings, resolve


def compile_(
    model: Annotated[Path, typer.Argument(help="ONNX file written by `sanp export`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle directory to write.")],
    config: Config = None,
    target: Annotated[str | None, typer.Option(help="Target name; `sanp doctor` lists them. [default: host]")] = None,
    golden: Annotated[Path | None, typer.Option(help="PyTorch's answers, if not beside the model.")] = None,
    replace: Annotated[bool | None, typer.Option("--replace", help="Replace an existing bundle.")] = None,
    allow_modified: Annotated[
        bool | None, typer.Option("--allow-modified", help="Accept a model that was edited after its export.")
    ] = None,
    json_: Json = False,
) -> None:
    """Compile a model for a target and prove that every gated layer runs in our kernel.

    Example: sanp compile model.onnx -o model.sanp --target host
    """
    from sanp.pipeline.compiling import compile_model, prove

    flags = {"target": target, "golden": golden, "replace": replace, "allow_modified": allow_modified}
    settings = resolve(CompileSettings, "compile", config, flags)
    bundle = compile_model(model, output, **dict(settings))
    proof = prove(bundle)
    if json_:
        print_json({"bundle": str(bundle.path), "target": bundle.manifest.target, "proof": proof.to_json()})
        return
    out.print(f"{bundle.path}: compiled for {bundle.manifest.target['name']}")
    out.print(proof.summary())
