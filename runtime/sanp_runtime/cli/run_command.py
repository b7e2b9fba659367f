"""`run`: classes and cost of samples."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np

from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.cli.arguments import add_command, add_engine_options, add_variant, engine_options, print_result
from sanp_runtime.engines.base import Result
from sanp_runtime.engines.load import load_bundle
from sanp_targets.errors import InputError


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(commands, "run", run, "run samples and print classes and cost")
    add_engine_options(parser)
    add_variant(parser)
    parser.add_argument(
        "--input", help="NumPy file (.npy) with x float32 [N, C, H, W]; the samples of the bundle if absent"
    )
    parser.add_argument("--output", "-o", help="write logits and gates to this .npz file")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    bundle = open_bundle(arguments.bundle)
    with load_bundle(bundle, arguments.variant, engine_options(arguments)) as engine:
        x = bundle.reference().x if arguments.input is None else _read_array(Path(arguments.input))
        result = engine(x)
    classes, macs, dense = result.classes(), result.macs, bundle.manifest.dense_macs
    if arguments.output is not None:
        write_atomically(Path(arguments.output), _archive(result))
    row = {"classes": classes.tolist(), "macs": macs.tolist(), "dense_macs": dense, "logits": result.logits.tolist()}
    lines = [f"{i}: class {c}, {m / dense:.1%} of the dense MACs" for i, (c, m) in enumerate(zip(classes, macs))]
    print_result(arguments, row, lines)


def _archive(result: Result) -> bytes:
    buffer = io.BytesIO()
    arrays = {f"gate/{name}": value for name, value in result.gates.items()}
    np.savez(buffer, logits=result.logits, macs=result.macs, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _read_array(path: Path) -> np.ndarray:
    try:
        value = np.load(path, allow_pickle=False)
    except Exception as error:  # numpy raises a dozen types for a damaged file
        raise InputError(f"{path}: is not a readable .npy file ({error}); write it with numpy.save") from error
    if not isinstance(value, np.ndarray):
        raise InputError(f"{path}: is an archive of several arrays, expected one array in a .npy file")
    return value
