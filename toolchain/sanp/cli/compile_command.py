"""`sanp compile`: gated ONNX to a bundle for one target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sanp.cli.console import out, print_json, step
from sanp.cli.options import Config, Json
from sanp.cli.tuning_table import print_tuning
from sanp.settings.base import CompileSettings, resolve


def compile_(
    model: Annotated[Path, typer.Argument(help="ONNX file written by `sanp export`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle directory to write.")],
    config: Config = None,
    target: Annotated[str | None, typer.Option(help="Target name; `sanp doctor` lists them. [default: host]")] = None,
    reference: Annotated[Path | None, typer.Option(help="PyTorch's answers, if not beside the model.")] = None,
    replace: Annotated[bool | None, typer.Option("--replace", help="Replace an existing bundle.")] = None,
    allow_modified: Annotated[
        bool | None, typer.Option("--allow-modified", help="Accept a model that was edited after its export.")
    ] = None,
    tune: Annotated[
        bool | None, typer.Option("--tune", help="ONNX Runtime: time the kernels of each layer here, keep the fastest.")
    ] = None,
    bf16_weights: Annotated[
        bool | None,
        typer.Option(
            "--bf16-weights", help="ONNX Runtime: round the weights of maps of 16 pixels or fewer to 16 bits."
        ),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="TensorRT: fp32 or fp16. [default: fp32]")] = None,
    plugin_layers: Annotated[
        str | None,
        typer.Option(
            "--plugin-layers", help="TensorRT: layers in our kernel: auto, all, none or a,b,c. [default: auto]"
        ),
    ] = None,
    opt_batch: Annotated[
        int | None, typer.Option("--opt-batch", help="TensorRT: batch size to tune for. [default: 1]")
    ] = None,
    max_batch: Annotated[
        int | None, typer.Option("--max-batch", help="TensorRT: largest batch size. [default: 64]")
    ] = None,
    layer_times: Annotated[
        Path | None, typer.Option("--layer-times", help="TensorRT: profile from the device that decides per layer.")
    ] = None,
    json_: Json = False,
) -> None:
    """Compile a model for a target and prove that every gated layer runs in our kernel.

    Example: sanp compile model.onnx -o model.sanp --target host
    """
    from sanp.pipeline.compile.bf16_weights import summary
    from sanp.pipeline.compile.compile import compile_model, prove
    from sanp_runtime.engines.tensorrt.versions import build_command

    flags = {
        "target": target,
        "reference": reference,
        "replace": replace,
        "allow_modified": allow_modified,
        "tune": tune,
        "bf16_weights": bf16_weights,
        "precision": precision,
        "plugin_layers": plugin_layers,
        "opt_batch": opt_batch,
        "max_batch": max_batch,
        "layer_times": layer_times,
    }
    settings = resolve(CompileSettings, "compile", config, flags)
    bundle = compile_model(model, output, say=step, **dict(settings))
    manifest = bundle.manifest
    # A TensorRT bundle that was compiled elsewhere has no engines to look into yet.
    proof = prove(bundle) if manifest.engines_built else None
    if json_:
        row = {"bundle": str(bundle.path), "target": manifest.target, "proof": proof.to_json() if proof else None}
        row["bf16_weights"] = manifest.build.get("bf16_weights")
        print_json({**row, "options": manifest.options, "next": None if proof else build_command(bundle.path)})
        return
    out.print(f"{bundle.path}: compiled for {manifest.target['name']}")
    for name, choice in manifest.options.get("choices", {}).items():
        out.print(f"  {name}: {kernel_word(choice)} ({choice['reason']})", markup=False)
    if "bf16_weights" in manifest.build:
        for line in summary(manifest.build["bf16_weights"]):
            out.print(line, markup=False)
    if manifest.options.get("plugin_layers") == "auto" and not manifest.gate_kernels:
        out.print("No layer is expected to gain from our kernel on this target, so gating will not make it faster.")
        out.print("--plugin-layers all compiles it with our kernel anyway, to measure.")
    if "tuning" in manifest.options:
        print_tuning(manifest.options["tuning"])
    if proof is not None:
        out.print(proof.summary())
    else:
        out.print("The engines are built where they run. Copy the bundle to the device, and there:")
        out.print(f"  {build_command(bundle.path)}", markup=False)


def kernel_word(choice: dict[str, Any]) -> str:
    """Who computes a layer, in one word."""
    return "plugin" if choice["plugin"] else "native"
