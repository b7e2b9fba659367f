"""`run`: what a network answers for samples, and what they cost."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.cli.arguments import (
    add_budget,
    add_command,
    add_engine_options,
    add_variant,
    engine_options,
    print_result,
)
from sanp_runtime.contract import LOGITS
from sanp_runtime.engines.base import Result
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.network.macs import dense_macs
from sanp_targets.errors import InputError


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(commands, "run", run, "run samples and print classes or outputs, and cost")
    add_engine_options(parser)
    add_variant(parser)
    parser.add_argument(
        "--input", help="NumPy file (.npy) with x float32 [N, C, H, W]; the samples of the bundle if absent"
    )
    parser.add_argument("--output", "-o", help="write outputs and gates to this .npz file")
    add_budget(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    bundle = open_bundle(arguments.bundle)
    with load_bundle(bundle, arguments.variant, engine_options(arguments)) as engine:
        x = bundle.reference().x if arguments.input is None else _read_array(Path(arguments.input))
        result = engine(x, budget=arguments.budget)
    result.check_finite()
    macs, dense = _costs(result)
    if arguments.output is not None:
        write_atomically(Path(arguments.output), _archive(result))
    row: Dict[str, Any] = {"macs": macs, "dense_macs": dense}
    if arguments.budget is not None:
        row["budget"] = arguments.budget
    if bundle.manifest.classes is not None:
        row["classes"] = result.classes().tolist()
    if arguments.json:
        row["outputs"] = {name: value.tolist() for name, value in result.outputs.items()}
    lines = [f"{i}: {_answer(result, i)}" for i in range(len(result))]
    if macs is not None and dense is not None:
        lines = [f"{line}, {m / dense:.1%} of the dense MACs" for line, m in zip(lines, macs)]
    print_result(arguments, row, lines)


def _costs(result: Result) -> Tuple[Optional[List[float]], Optional[int]]:
    """MACs of each sample, and without gates; None where the layer table is for images of another size."""
    if result.layers is None:
        return None, None
    return result.macs.tolist(), dense_macs(result.layers)


def _answer(result: Result, sample: int) -> str:
    """The class of a sample, and the shape and range of every output that is no logits."""
    words = []
    for name, value in result.outputs.items():
        one = value[sample]
        if name == LOGITS and value.ndim == 2:
            words.append(f"class {one.argmax()}")
        elif one.size == 1:
            words.append(f"{name} {one.item():.4g}")
        else:
            words.append(f"{name} {list(one.shape)} from {one.min():.3g} to {one.max():.3g}")
    return ", ".join(words)


def _archive(result: Result) -> bytes:
    buffer = io.BytesIO()
    arrays = {f"output/{name}": value for name, value in result.outputs.items()}
    arrays.update({f"gate/{name}": value for name, value in result.gates.items()})
    if result.layers is not None:
        arrays["macs"] = result.macs
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _read_array(path: Path) -> np.ndarray:
    try:
        value = np.load(path, allow_pickle=False)
    except Exception as error:  # numpy raises a dozen types for a damaged file
        raise InputError(f"{path}: is not a readable .npy file ({error}); write it with numpy.save") from error
    if not isinstance(value, np.ndarray):
        raise InputError(f"{path}: is an archive of several arrays, expected one array in a .npy file")
    return value
