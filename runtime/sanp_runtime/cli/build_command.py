"""`build`: the engines of a TensorRT bundle, on the machine that will run them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from sanp_runtime.cli.arguments import add_command, print_result
from sanp_runtime.engines.load import load_bundle


def add(commands: Any) -> None:
    """Register the command."""
    text = "build the engines of a TensorRT bundle on this machine and prove them"
    parser = add_command(commands, "build", run, text)
    parser.add_argument("--tool", default="auto", help="python, trtexec, or auto: the package if there is one")
    parser.add_argument("--plugin", help="a plugin library that was compiled before, instead of the bundle's sources")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from sanp_runtime.engines.tensorrt.builder import build

    bundle = build(
        arguments.bundle, tool=arguments.tool, plugin=arguments.plugin, log=lambda text: print(text, file=sys.stderr)
    )
    proof = None
    if bundle.manifest.gated:
        with load_bundle(bundle) as engine:
            proof = engine.proof()
    row = {
        "bundle": str(bundle.path),
        "fingerprint": dict(bundle.manifest.build["fingerprint"]),
        "proof": proof.to_json() if proof is not None else None,
    }
    lines = [f"{bundle.path}: engines built"] if proof is None else [f"{bundle.path}: engines built and proven"]
    print_result(arguments, row, [*lines, *([] if proof is None else [proof.summary()])])
