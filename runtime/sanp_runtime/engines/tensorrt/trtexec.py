"""trtexec, 8.5 to 11: command lines that mean the same in every version, and what its export files say.

8.5 knows `--plugins`, later versions `--staticPlugins`. 11 has no `--fp16` and turns CUDA graphs and spin waiting on
and transfers off by default, so everything that matters is written out. Inputs are always given: with random ones the
gates, and so the work done, would mean nothing.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.json_text import parse_json
from sanp_targets.errors import InputError, TargetError

# Name -> min, opt and max of an input
Shapes = Mapping[str, Tuple[Sequence[int], Sequence[int], Sequence[int]]]
_SHOWN_LINES = 12
# C++ prints these without the spelling of JSON.
_BARE = re.compile(r"(?<=[\s,\[])(-?)(nan|inf)(?=[\s,\]])")
_TIME_KEYS = ("computeMs", "latencyMs")


@dataclass(frozen=True)
class Times:
    """Milliseconds of every timed inference: GPU compute alone, and with the transfers that were on."""

    compute_ms: np.ndarray
    latency_ms: np.ndarray


def build_line(
    version: str,
    model: str,
    engine: str,
    plugin: Optional[str],
    profiles: Sequence[Shapes],
    half: bool = False,
    single: Optional[Mapping[str, str]] = None,
    layer_info: Optional[str] = None,
    signed: bool = False,
) -> List[str]:
    """Arguments after `trtexec` that build an engine and, with `layer_info`, write what it consists of.

    profiles, half, single, signed: as in `Tensorrt.build`; TargetError for several profiles before 10. One short
    inference follows the build; only then every version has written the layer information.
    """
    line = [f"--onnx={model}", f"--saveEngine={engine}", *_plugin(version, plugin), "--noTF32"]
    check_profiles(version, len(profiles))
    for place, shapes in enumerate(profiles):
        line += [f"--profile={place}"] if len(profiles) > 1 else []
        for word, index in (("min", 0), ("opt", 1), ("max", 2)):
            listed = ",".join(f"{name}:{_dims(sizes[index])}" for name, sizes in shapes.items())
            line.append(f"--{word}Shapes={listed}")
    major = int(version.split(".", 1)[0])
    if major == 10:
        line.append("--stronglyTyped")
    if signed and major < 10:
        line.append("--int8")
    if half and major < 10:
        line.append("--fp16")
        if single:
            line.append("--precisionConstraints=obey")
            line.append("--layerPrecisions=" + ",".join(f"{name}:fp32" for name in single))
            typed = [f"{name}:{types}" for name, types in single.items() if types]
            line.append("--layerOutputTypes=" + ",".join(typed))
    line.append("--profilingVerbosity=detailed")
    if layer_info is not None:
        line.append(f"--exportLayerInfo={layer_info}")
    return [*line, "--iterations=1", "--duration=0", "--warmUp=0"]


def check_profiles(version: str, count: int) -> None:
    """TargetError for several optimisation profiles with a trtexec that knows one: `--profile` came with 10."""
    if count > 1 and int(version.split(".", 1)[0]) < 10:
        raise TargetError(
            f"the bundle has {count} sizes of images, and trtexec of TensorRT {version} knows one optimisation "
            "profile, expected TensorRT's Python package; on a Jetson run `sudo apt install python3-libnvinfer`"
        )


def run_line(
    version: str,
    engine: str,
    plugin: Optional[str],
    inputs: Mapping[str, Tuple[str, Sequence[int]]],
    profile: Optional[int] = None,
) -> List[str]:
    """Arguments that run an engine on given inputs: name -> (raw file, shape); profile: of an engine with several."""
    shapes = ",".join(f"{name}:{_dims(shape)}" for name, (_, shape) in inputs.items())
    files = ",".join(f"{name}:{path}" for name, (path, _) in inputs.items())
    line = [f"--loadEngine={engine}", *_plugin(version, plugin), f"--shapes={shapes}", f"--loadInputs={files}"]
    return line if profile is None else [*line, f"--useProfile={profile}"]


def timing_flags(times: str, profile: Optional[str] = None, calls: int = 100, duration_s: float = 0.0) -> List[str]:
    """Flags that time at least `calls` inferences without transfers, in a CUDA graph, on every version alike."""
    flags = ["--noDataTransfers", "--useCudaGraph", "--useSpinWait", "--separateProfileRun", "--warmUp=500"]
    flags += [f"--iterations={calls}", f"--duration={duration_s:g}", "--avgRuns=1", f"--exportTimes={times}"]
    return flags if profile is None else [*flags, f"--exportProfile={profile}"]


def output_flags(outputs: str) -> List[str]:
    """Flags that run once and write the outputs."""
    return [f"--exportOutput={outputs}", "--iterations=1", "--duration=0", "--warmUp=0"]


def run(trtexec: Path, arguments: Sequence[str]) -> str:
    """Run trtexec and return what it printed; TargetError with its last lines if it fails."""
    command = [str(trtexec), *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode != 0:
        last = [line for line in done.stdout.splitlines() if line.strip()][-_SHOWN_LINES:]
        raise TargetError(
            f"`{' '.join(command)}` ended with {done.returncode}:\n  "
            + "\n  ".join(last)
            + "\nexpected it to succeed; "
            "check that TensorRT fits the driver, and report the lines above"
        )
    return done.stdout


def read_times(text: str) -> Times:
    """`--exportTimes`: one row per inference, warm-up removed; InputError if it is not that."""
    rows = _json(text, "exported times")
    try:
        compute, latency = (np.array([float(row[key]) for row in rows]) for key in _TIME_KEYS)
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(
            f"the exported times lack {error}, expected rows with {_TIME_KEYS}; run trtexec again"
        ) from error
    if not len(compute):
        raise InputError("the exported times are empty, expected one row per inference; run trtexec for longer")
    return Times(compute, latency)


def read_profile(text: str) -> List[Tuple[str, float]]:
    """`--exportProfile`: (layer, median ms) in order of execution; the mean where a version has no median."""
    rows = _json(text, "exported profile")
    try:
        return [(str(row["name"]), float(row.get("medianMs", row["averageMs"]))) for row in rows if "name" in row]
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(
            f"the exported profile lacks {error}, expected name and averageMs; run trtexec again"
        ) from error


def read_outputs(text: str) -> Dict[str, np.ndarray]:
    """`--exportOutput`: name -> float32 array. trtexec prints six digits, so values carry a relative error of 5e-6."""
    rows = _json(_BARE.sub(_constant, text), "exported outputs")
    result = {}
    try:
        for row in rows:
            shape = [int(size) for size in str(row["dimensions"]).split("x")]
            result[str(row["name"])] = np.array(row["values"], np.float32).reshape(shape)
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"the exported outputs are wrong ({error}), expected values per dimension") from error
    return result


def _constant(match: "re.Match[str]") -> str:
    return "NaN" if match.group(2) == "nan" else f"{match.group(1)}Infinity"


def _json(text: str, what: str) -> List[Dict[str, Any]]:
    try:
        rows = parse_json(text)
    except ValueError as error:
        raise InputError(f"the {what} are not JSON ({error}), expected a list; run trtexec again") from error
    if not isinstance(rows, list):
        raise InputError(f"the {what} hold a {type(rows).__name__}, expected a list; run trtexec again")
    return rows


def _plugin(version: str, path: Optional[str]) -> List[str]:
    old = tuple(int(part) for part in version.split(".")[:2]) < (8, 6)
    return [] if path is None else [f"--{'plugins' if old else 'staticPlugins'}={path}"]


def _dims(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)
