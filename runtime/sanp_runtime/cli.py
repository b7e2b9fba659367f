"""The commands of `python -m sanp_runtime`; argparse, because a board has no typer.

Results go to standard output (one JSON object with --json), messages to standard error. Exit codes: 0 pass, 1 a check
failed, 2 bad usage or input, 3 backend or target not available, 4 measurement not valid.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.contract import GATED
from sanp_runtime.engines.base import Result
from sanp_runtime.engines.load import load
from sanp_runtime.measure.verdict import NOISY, THROTTLED
from sanp_runtime.profile.profile import profile
from sanp_runtime.profile.tuning_note import tuning_note
from sanp_runtime.validate import self_test
from sanp_targets.device import describe, fingerprint
from sanp_targets.errors import InputError, MeasurementError, SanpError, ValidationError


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command and return its exit code; usage errors exit with 2 as argparse does."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except SanpError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_program(), description="Run, test and measure a bundle here.")
    commands = parser.add_subparsers(required=True, metavar="command")
    run = _command(commands, "run", _run, "run samples and print classes and cost")
    run.add_argument(
        "--input", help="NumPy file (.npy) with x float32 [N, C, H, W]; the samples of the bundle if absent"
    )
    run.add_argument("--variant", default=GATED, help="gated, open, replay or dense [default: gated]")
    run.add_argument("--isa", help="force an instruction set of the operator library")
    run.add_argument("--output", "-o", help="write logits and gates to this .npz file")
    text = "check kernels, gates and accuracy against the reference samples in the bundle"
    _command(commands, "self-test", _self_test, text, aliases=["validate"])
    make = _command(commands, "build", _build, "build the engines of a TensorRT bundle on this machine and prove them")
    make.add_argument("--tool", default="auto", help="python, trtexec, or auto: the package if there is one")
    make.add_argument("--plugin", help="a plugin library that was compiled before, instead of the bundle's sources")
    measure = _command(commands, "profile", _profile, "measure dense, all-open and gated engines")
    measure.add_argument("--duration", type=float, default=10.0, help="seconds of measurement [default: 10]")
    measure.add_argument("--batch", type=int, default=1, help="samples per call [default: 1]")
    measure.add_argument("--output", "-o", help="also write the JSON, raw values included, to this file")
    measure.add_argument("--allow-invalid", action="store_true", help="exit 0 even if the numbers must not be quoted")
    _command(commands, "info", _info, "show what a bundle is and what this machine is")
    return parser


def _program() -> str:
    """How this was called: from the archive in a bundle, or as a module."""
    called = Path(sys.argv[0]).name if sys.argv else ""
    return f"python3 {called}" if called.endswith(".pyz") else "python -m sanp_runtime"


def _command(
    commands: Any, name: str, function: Any, text: str, aliases: Sequence[str] = ()
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, aliases=aliases, help=text, description=text)
    parser.set_defaults(command=function)
    parser.add_argument("bundle", help="directory written by `sanp compile`")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if name not in ("info", "build"):
        parser.add_argument("--threads", type=int, default=1, help="threads of the engine [default: 1]")
        parser.add_argument("--plain", action="store_true", help="plain ONNX Runtime without our kernels (slow)")
    return parser


def _library(arguments: argparse.Namespace) -> Optional[str]:
    return None if arguments.plain else "bundle"


def _print(arguments: argparse.Namespace, row: Dict[str, Any], lines: Sequence[str]) -> None:
    print(json.dumps(row, indent=1, allow_nan=False) if arguments.json else "\n".join(lines))


def _run(arguments: argparse.Namespace) -> None:
    library = _library(arguments)
    with load(
        arguments.bundle, variant=arguments.variant, threads=arguments.threads, library=library, isa=arguments.isa
    ) as engine:
        x = engine.bundle.reference().x if arguments.input is None else _read_array(Path(arguments.input))
        result = engine(x)
    if arguments.output is not None:
        write_atomically(Path(arguments.output), _archive(result))
    classes, macs, dense = result.logits.argmax(1), result.macs, engine.manifest.dense_macs
    row = {"classes": classes.tolist(), "macs": macs.tolist(), "dense_macs": dense, "logits": result.logits.tolist()}
    lines = [f"{i}: class {c}, {m / dense:.1%} of the dense MACs" for i, (c, m) in enumerate(zip(classes, macs))]
    _print(arguments, row, lines)


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


def _self_test(arguments: argparse.Namespace) -> None:
    result = self_test(arguments.bundle, threads=arguments.threads, library=_library(arguments))
    _print(arguments, result.to_json(), result.summary().splitlines())
    if result.proof is not None:
        result.proof.require()
    if not result.passed:
        raise ValidationError(
            f"{arguments.bundle}: the self-test failed, expected every level to pass; see the lines above"
        )


def _build(arguments: argparse.Namespace) -> None:
    from sanp_runtime.engines.tensorrt.builder import build

    bundle = build(
        arguments.bundle, tool=arguments.tool, plugin=arguments.plugin, log=lambda text: print(text, file=sys.stderr)
    )
    with load(bundle.path) as engine:
        proof = engine.proof()
    row = {
        "bundle": str(bundle.path),
        "fingerprint": dict(bundle.manifest.build["fingerprint"]),
        "proof": proof.to_json(),
    }
    _print(arguments, row, [f"{bundle.path}: engines built and proven", proof.summary()])


def _profile(arguments: argparse.Namespace) -> None:
    result = profile(
        arguments.bundle,
        threads=arguments.threads,
        duration_s=arguments.duration,
        batch=arguments.batch,
        library=_library(arguments),
    )
    if arguments.output is not None:
        write_atomically(Path(arguments.output), json.dumps(result, indent=1, allow_nan=False).encode())
    _print(arguments, result, _profile_lines(result))
    validity = result["validity"]
    if validity["verdict"] in (NOISY, THROTTLED) and not arguments.allow_invalid:
        raise MeasurementError(
            f"the measurement is {validity['verdict']} ({'; '.join(validity['reasons'])}), expected a quiet machine; "
            "stop other work and measure again, or pass --allow-invalid"
        )


def _profile_lines(result: Dict[str, Any]) -> List[str]:
    lines = [f"{'':8}{'p50 ms':>10}{'p90 ms':>10}{'p99 ms':>10}{'calls':>8}"]
    for name, engine in result["variants"].items():
        block = engine["latency"]
        p99 = "-" if block["p99"] is None else f"{block['p99']:.3f}"
        lines.append(f"{name:8}{block['p50']:10.3f}{block['p90']:10.3f}{p99:>10}{block['count']:8}")
    ratios = result["ratios"]
    lines.append(
        f"{ratios['measured']:.2f}x the speed of dense at 1/{ratios['theoretical']:.2f} of its MACs "
        f"(efficiency {ratios['efficiency']:.2f}); all gates open: {ratios['overhead']:.2f}x the dense time"
    )
    validity = result["validity"]
    lines += [result["tuning_note"]] if result["tuning_note"] else []
    return [*lines, f"{validity['verdict']} {'; '.join(validity['reasons'])}".rstrip()]


def _info(arguments: argparse.Namespace) -> None:
    bundle, device = open_bundle(arguments.bundle), fingerprint()
    manifest = bundle.manifest
    row = {"digest": bundle.digest(), "manifest": manifest.to_json(), "device": device}
    shape = "x".join(str(size) for size in manifest.input["shape"])
    lines = [
        f"{manifest.name}: {shape} to {manifest.classes} classes, {manifest.dense_macs / 1e6:.1f} M MACs dense",
        f"{len(manifest.gated)} gated of {len(manifest.layers)} layers, for {manifest.target['name']}",
        f"made {manifest.created} with {', '.join(f'{name} {version}' for name, version in manifest.made_by.items())}",
        f"content {bundle.digest()[:16]}, {len(manifest.files)} files verified",
        f"this machine: {describe(device)}",
    ]
    note = tuning_note(manifest.options, device, None)
    lines += [note] if note else []
    _print(arguments, row, lines)
