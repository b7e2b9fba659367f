"""Gated networks against ONNX Runtime, OpenVINO and ncnn, dense, narrowed and in int8, in the same run.

    python -m venv build/peers && build/peers/bin/pip install . -r benchmarks/peers/requirements.txt
    build/peers/bin/pip install --no-deps -r benchmarks/peers/requirements-pnnx.txt
    build/peers/bin/python -m benchmarks.peers.run --output peers.json        # about ten minutes
    python -m benchmarks.peers.run --edge --batches 1 --threads 1 --output edge.json
    python -m benchmarks.peers.run --quick                              # ONNX Runtime only, seconds
    python -m benchmarks.peers.run --show peers.json --clock cpu        # the tables of a run, measuring nothing

A run that was interrupted goes on at the next network if the output file was written with the same settings. What
each engine is and what the numbers mean: benchmarks/peers/README.md. The exit code is 1 if an engine gave wrong
answers or ours could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib import util
from pathlib import Path
from typing import Any

from benchmarks.command_line import parser
from benchmarks.networks.edge import EDGE_NETWORKS

BACKBONES = ("m-cifarnet", "vgg19", "resnet18")
EDGE = tuple(name for name in EDGE_NETWORKS if "half" not in name)
REQUIRED = ("numpy", "onnx", "onnx_graphsurgeon", "onnxruntime", "sanp_runtime")
PEERS = ("openvino", "ncnn", "pnnx")
PACKAGES = ("numpy", "onnx", "onnxruntime", *PEERS)  # their versions are part of a result
INSTALL = (
    "pip install . -r benchmarks/peers/requirements.txt && "
    "pip install --no-deps -r benchmarks/peers/requirements-pnnx.txt"
)


def parse() -> argparse.Namespace:
    """The command line; --quick overrides what it fixes."""
    made = parser(__doc__)
    which = made.add_mutually_exclusive_group()
    which.add_argument("--networks", nargs="+", default=list(BACKBONES), choices=(*BACKBONES, *EDGE_NETWORKS))
    which.add_argument(
        "--edge", dest="networks", action="store_const", const=list(EDGE), help="the networks of the edge"
    )
    made.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    made.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    made.add_argument("--engines", nargs="+", help="names of rows (default: all), see catalog.py")
    made.add_argument("--rounds", type=int, default=9, help="turns of every engine")
    made.add_argument("--seconds", type=float, default=0.2, help="length of a turn; it has three calls at least")
    made.add_argument("--width", type=float, default=1.0, help="share of the channels of every layer")
    made.add_argument("--library", type=Path, help="operator library; default: the one of this installation")
    made.add_argument("--isa", default="auto", help="instruction set of our rows: auto, avx512, avx2, neon or portable")
    made.add_argument("--quick", action="store_true", help="ONNX Runtime engines, a thin network, a few turns")
    made.add_argument("--output", type=Path, help="write the results here, and go on from what is there")
    made.add_argument("--fresh", action="store_true", help="ignore what the output file holds")
    made.add_argument("--show", type=Path, help="print the tables of this file and stop")
    made.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: processor time, one thread only")
    options = made.parse_args()
    if options.quick:
        options.networks, options.batches, options.threads = ["m-cifarnet"], [1, 8], [1]
        options.rounds, options.seconds, options.width = 2, 0.02, 0.25
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if max(options.threads) > cores and not options.show:
        made.error(f"{max(options.threads)} threads wanted, this process may use {cores} cores; lower --threads")
    return options


def chosen_engines(options: argparse.Namespace) -> list:
    """Rows of the table; SystemExit for a name that does not exist. Says which packages some of them lack."""
    from benchmarks.peers.catalog import BY_NAME, ENGINES

    if unknown := set(options.engines or ()) - set(BY_NAME):
        raise SystemExit(f"engines {sorted(unknown)} are not known, expected some of {', '.join(BY_NAME)}")
    wanted = [engine for engine in ENGINES if not options.engines or engine.name in options.engines]
    if options.quick:
        wanted = [engine for engine in wanted if engine.runtime == "onnxruntime"]
    if not wanted:
        raise SystemExit("--quick runs ONNX Runtime engines only and --engines names none; drop one of the two")
    runtimes = {engine.runtime for engine in wanted}
    needed = [name for name in PEERS if name in runtimes or (name == "pnnx" and "ncnn" in runtimes)]
    if absent := [name for name in needed if util.find_spec(name) is None]:
        print(f"{', '.join(absent)} not installed, their rows stay empty; run: {INSTALL}", file=sys.stderr)
    return wanted


def resumed(options: argparse.Namespace, fresh: dict[str, Any]) -> dict[str, Any]:
    """The report in the output file, or `fresh` if there is none; SystemExit if it was measured differently."""
    if options.fresh or not options.output or not options.output.exists():
        return fresh
    old = json.loads(options.output.read_text())
    if any(old.get(key) != fresh[key] for key in ("settings", "machine")):
        raise SystemExit(f"{options.output}: was measured with other settings or versions; pass --fresh to replace it")
    return old


def main() -> int:
    """Measure what the output file does not hold yet, write it after every network, print the tables."""
    options = parse()
    if missing := [name for name in REQUIRED if util.find_spec(name) is None]:
        raise SystemExit(f"{', '.join(missing)} not installed; run: {INSTALL}")
    from benchmarks.command_line import write_json
    from benchmarks.peers.measurement import failed, machine, measure_network
    from benchmarks.peers.report import tables
    from benchmarks.sessions import library_path

    if options.show:
        print(tables(json.loads(options.show.read_text()), options.clock))
        return 0
    engines, library = chosen_engines(options), library_path(options.library)
    settings = {key: getattr(options, key) for key in ("batches", "threads", "rounds", "seconds", "width", "isa")}
    settings["engines"] = [engine.name for engine in engines]
    fresh = {"settings": settings, "machine": machine(PACKAGES, library), "networks": {}}
    report = resumed(options, fresh)
    for name in options.networks:
        if name not in report["networks"]:
            report["networks"][name] = measure_network(name, engines, settings, library)
            write_json(options.output, report)
    print(tables(report, options.clock))
    return int(failed(report))


if __name__ == "__main__":
    sys.exit(main())
