"""`sanp compile`: gated ONNX to a bundle for one target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sanp.cli.console import out, print_json, step, verdicts
from sanp.cli.tuning_table import print_tuning
from sanp.cli.verb import verb
from sanp.settings.compile import CompileSettings


@verb(CompileSettings)
def compile_(
    model: Annotated[Path, typer.Argument(help="ONNX file written by `sanp export`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle directory to write.")],
    *,
    settings: CompileSettings,
    as_json: bool,
) -> None:
    """Compile a model for a target and prove that every gated layer runs in our kernel.

    A network without gates runs in the kernels of the target, unless --kernels says otherwise. It is compiled beside
    its parent where that is known.

    Example: sanp compile model.onnx -o model.sanp --target host
    """
    from sanp.pipeline.compile.bf16_weights import summary
    from sanp.pipeline.compile.blocks import summary as apart_summary
    from sanp.pipeline.compile.compile import compile_model
    from sanp.pipeline.compile.fold import summary as fold_summary
    from sanp.pipeline.compile.int8.summary import summary as int8_summary
    from sanp.pipeline.compile.losing_gates import summary as losing_summary
    from sanp_runtime.bundle.budgets import lines as budget_lines
    from sanp_runtime.contract import LIBRARY_FILE
    from sanp_runtime.engines.tensorrt.versions import build_command
    from sanp_runtime.network.blocks import blocks_note
    from sanp_runtime.profile.kernels_note import kernels_note
    from sanp_runtime.validate.text import validation_lines

    made = compile_model(model, output, settings, log=step)
    path, manifest, record = made.bundle.path, made.bundle.manifest, made.record
    if as_json:
        proof = made.proof.to_json() if made.proof else None
        row = {"bundle": str(path), "target": manifest.target, "proof": proof, "record": record}
        print_json({**row, "next": None if manifest.engines_built else build_command(path)})
        return
    out.print(f"{path}: compiled for {manifest.target['name']}")
    print_choices("  ", record)
    if "fold" in record:
        for line in fold_summary(record["fold"]):
            out.print(line)
    if "bf16_weights" in record:
        for line in summary(record["bf16_weights"]):
            out.print(line)
    if "int8" in record:
        for line in int8_summary(record["int8"]):
            out.print(line)
    if "budgets" in record:
        for line in budget_lines(record["budgets"], manifest.dense_macs):
            out.print(line)
    if manifest.gated and record.get("plugin_layers") == "auto" and not manifest.gate_kernels:
        out.print("No layer is known to gain from our kernel on this target, so gating will not make it faster.")
        out.print(
            "--plugin-layers all compiles it with our kernel, to profile it there; --layer-times reads the profile."
        )
    if blocks := blocks_note(len(manifest.blocks)):
        out.print(f"{blocks}.")
    if "blocks_apart" in record:
        for line in apart_summary(record["blocks_apart"]):
            out.print(line)
    if "losing_gates" in record:
        for line in losing_summary(record["losing_gates"]):
            out.print(line)
    if "tuning" in record:
        print_tuning(record["tuning"])
    if "self_test" in record:
        for line in validation_lines(record["self_test"]):
            out.print(verdicts(line))
    elif made.proof is not None:
        out.print(made.proof.summary())
    elif "kernels" in record:
        out.print(f"No gates: {kernels_note(manifest)}.")
    elif LIBRARY_FILE in manifest.files:  # of a network without channel gates: for its gated pixels
        out.print("No channel gates: layers with gated pixels run in our kernel, the others in the target's own.")
    elif manifest.engines_built:
        out.print("No gates: every layer runs in the target's own kernels.")
    else:
        out.print("The engines are built where they run. Copy the bundle to the device, and there:")
        out.print(f"  {build_command(path)}")


def print_choices(prefix: str, record: dict[str, Any]) -> None:
    """Who computes each gated layer of a TensorRT bundle, and why; nothing for other bundles."""
    for name, choice in record.get("choices", {}).items():
        out.print(f"{prefix}{name}: {'plugin' if choice['plugin'] else 'native'} ({choice['reason']})")
