"""Gated networks against ONNX Runtime, OpenVINO and ncnn, dense, narrowed and in int8, in the same run.

    python -m venv peers && peers/bin/pip install . -r benchmarks/peers/requirements.txt
    peers/bin/pip install --no-deps -r benchmarks/peers/requirements-pnnx.txt
    peers/bin/python benchmarks/peers/run.py --output peers.json        # about ten minutes
    python benchmarks/peers/run.py --quick                              # ONNX Runtime only, seconds

A run that was interrupted goes on at the next network if the output file was written with the same settings. What
each engine is and what the numbers mean: benchmarks/README.md. The exit code is 1 if an engine gave wrong
answers or ours could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from importlib import metadata, util
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))
# The function bodies come from the exporter; a source tree serves as well as an installation.
sys.path += [str(ROOT / "export"), str(ROOT / "runtime"), str(ROOT / "targets")]

NETWORKS = ("m-cifarnet", "vgg19", "resnet18")
REQUIRED = ("numpy", "onnx", "onnxruntime")
PEERS = ("openvino", "ncnn", "pnnx")


def install_hint() -> str:
    """What to type where packages are missing."""
    return (
        "pip install . -r benchmarks/peers/requirements.txt && "
        "pip install --no-deps -r benchmarks/peers/requirements-pnnx.txt"
    )


def parse() -> argparse.Namespace:
    """The command line; --quick sets what was not given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--engines", nargs="+", help="names of rows (default: all), see catalog.py")
    parser.add_argument("--rounds", type=int, default=9, help="turns of every engine")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a turn; it has three calls at least")
    parser.add_argument("--width", type=float, default=1.0, help="share of the channels of every layer")
    parser.add_argument("--quick", action="store_true", help="ONNX Runtime engines, a thin network, a few turns")
    parser.add_argument("--output", type=Path, help="write the results here, and go on from what is there")
    parser.add_argument("--fresh", action="store_true", help="ignore what the output file holds")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if max(options.threads) > cores:
        parser.error(f"{max(options.threads)} threads wanted, this process may use {cores} cores; lower --threads")
    if options.quick:
        options.networks, options.batches, options.threads = ["m-cifarnet"], [1, 8], [1]
        options.rounds, options.seconds, options.width = 2, 0.02, 0.25
    return options


def chosen_engines(options: argparse.Namespace) -> list:
    """Rows of the table; SystemExit for a name that does not exist."""
    from peers.catalog import BY_NAME, ENGINES

    if unknown := set(options.engines or ()) - set(BY_NAME):
        raise SystemExit(f"engines {sorted(unknown)} are not known, expected some of {', '.join(BY_NAME)}")
    wanted = [engine for engine in ENGINES if not options.engines or engine.name in options.engines]
    quick = [engine for engine in wanted if engine.runtime == "onnxruntime"]
    if options.quick and not quick:
        raise SystemExit("--quick runs ONNX Runtime engines only and --engines names none; drop one of the two")
    return quick if options.quick else wanted


def machine() -> dict[str, Any]:
    """What the numbers depend on besides the engines."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    packages = {}
    for name in (*REQUIRED, *PEERS):
        packages[name] = metadata.version(name) if util.find_spec(name) else "not installed"
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": packages,
    }


def measure_network(name: str, engines: list, options: argparse.Namespace, library: Path) -> dict[str, Any]:
    """All cells of one network."""
    from peers.prepare import Plan, prepare
    from peers.rounds import measure

    plan = Plan.make(name, options.width)
    result: dict[str, Any] = {"macs": plan.network.macs, "keep": plan.keep, "shares": {}, "cells": []}
    result["widths"] = {
        form: [conv.layer.co for conv in getattr(plan, form).convs.values()] for form in ("network", "narrow", "uneven")
    }
    with tempfile.TemporaryDirectory() as folder:
        for batch in options.batches:
            prepared = prepare(plan, batch, engines, Path(folder) / f"batch{batch}")
            for threads in options.threads:
                load, start = os.getloadavg()[0], time.perf_counter()
                cell = measure(engines, prepared, threads, library, options.rounds, options.seconds)
                result["cells"].append({"batch": batch, "threads": threads, "load": load, "engines": cell})
                seconds = time.perf_counter() - start
                print(f"{name}, batch {batch}, {threads} thread(s): {seconds:.0f} s, load {load:.1f}", file=sys.stderr)
            if batch == options.batches[0]:
                result["shares"] = {engine.name: plan.share(engine.model, prepared.cost) for engine in engines}
    return result


def resumed(options: argparse.Namespace, fresh: dict[str, Any]) -> dict[str, Any]:
    """The report in the output file, or `fresh` if there is none of the same settings and versions."""
    if options.fresh or not options.output or not options.output.exists():
        return fresh
    old = json.loads(options.output.read_text())
    if any(old.get(key) != fresh[key] for key in ("settings", "machine")):
        raise SystemExit(f"{options.output}: was measured with other settings or versions; pass --fresh to replace it")
    return old


def failed(report: dict[str, Any]) -> bool:
    """Whether an engine gave wrong answers, or one of ours was not measured for any reason."""
    from peers.catalog import BY_NAME
    from peers.rounds import WRONG

    cells = [cell for network in report["networks"].values() for cell in network["cells"]]
    results = [pair for cell in cells for pair in cell["engines"].items() if "not_measured" in pair[1]]
    return any(BY_NAME[name].ours or result["not_measured"].startswith(WRONG) for name, result in results)


def main() -> int:
    """Measure what the output file does not hold yet, write it after every network, print the tables."""
    options = parse()
    if missing := [name for name in REQUIRED if util.find_spec(name) is None]:
        raise SystemExit(f"{', '.join(missing)} not installed; run: {install_hint()}")
    engines = chosen_engines(options)
    runtimes = {engine.runtime for engine in engines}
    needed = [name for name in PEERS if name in runtimes or (name == "pnnx" and "ncnn" in runtimes)]
    if absent := [name for name in needed if util.find_spec(name) is None]:
        print(f"{', '.join(absent)} not installed, their rows stay empty; run: {install_hint()}", file=sys.stderr)
    from kernels import find_library

    from peers.report import tables
    from sanp_runtime.files import write_atomically
    from sanp_targets.errors import SanpError

    try:
        library = find_library()
    except SanpError as error:
        raise SystemExit(str(error)) from error

    settings = {key: getattr(options, key) for key in ("batches", "threads", "rounds", "seconds", "width")}
    settings["engines"] = [engine.name for engine in engines]
    report = resumed(options, {"settings": settings, "machine": machine(), "networks": {}})
    for name in options.networks:
        if name not in report["networks"]:
            report["networks"][name] = measure_network(name, engines, options, library)
            if options.output:
                write_atomically(options.output, (json.dumps(report, indent=1) + "\n").encode())
    print(tables(report))
    return int(failed(report))


if __name__ == "__main__":
    sys.exit(main())
