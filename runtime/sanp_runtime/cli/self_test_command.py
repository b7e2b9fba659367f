"""`self-test`: kernels, gates and accuracy against the reference samples in the bundle."""

from __future__ import annotations

import argparse
from typing import Any

from sanp_runtime.cli.arguments import add_command, add_engine_options, engine_options, print_result
from sanp_runtime.validate import self_test
from sanp_targets.errors import ValidationError


def add(commands: Any) -> None:
    """Register the command."""
    text = "check kernels, gates and accuracy against the reference samples in the bundle"
    parser = add_command(commands, "self-test", run, text, aliases=["validate"])
    add_engine_options(parser)
    parser.add_argument("--metric", help="module:function(outputs, labels) -> number, in place of accuracy")
    parser.add_argument("--reference", help="samples with PyTorch's answers, in place of those in the bundle (.npz)")
    parser.add_argument("--relative", type=float, default=0.99, help="least accuracy as a share of PyTorch's")
    parser.add_argument("--max-drop", type=float, help="largest absolute loss of accuracy; 0.01 is one point")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    result = self_test(
        arguments.bundle,
        engine_options(arguments),
        arguments.metric,
        reference=arguments.reference,
        relative=arguments.relative,
        max_drop=arguments.max_drop,
    )
    print_result(arguments, result.to_json(), result.lines())
    if result.proof is not None:
        result.proof.require()
    if not result.passed:
        raise ValidationError(
            f"{arguments.bundle}: the self-test failed in {', '.join(result.failed_levels())}, expected every level to "
            "pass; see the lines above"
        )
