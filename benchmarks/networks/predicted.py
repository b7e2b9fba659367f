"""How well a latency table predicts networks that it was not fitted on, and masks that it has not seen.

    python -m benchmarks.networks.predicted build/predicted --prepare     # exports and compiles what is missing
    python -m benchmarks.networks.predicted build/predicted --json predicted.json

The table is measured on ResNet-20 at full width for 32 x 32 images, random weights, by `measure_table`. Then ResNet-20
with other masks, ResNet-32 and ResNet-56 are timed at masks of another seed, one thread, one image: they have the same
shapes of layers, more of them, and longer sums. Beside each runs the dense ResNet-20, which tells how fast the machine
is now and was when the table was measured.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command_line import parser, write_json
from benchmarks.networks.untrained import export
from sanp import data
from sanp.pipeline.compile.compile import compile_model
from sanp_runtime.bundle.reader import Bundle, open_bundle
from sanp_runtime.contract import DENSE, OPEN
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.load import load
from sanp_runtime.latency.measure import measure_table, steadied
from sanp_runtime.latency.points import spread_points
from sanp_runtime.latency.table import LatencyTable
from sanp_runtime.latency.text import table_lines
from sanp_runtime.measure.timing import Clock, measure
from sanp_targets.device import describe, device_id, fingerprint
from sanp_targets.pinning import choose_cpus, pinned

FITTED = "resnet-20"
NETWORKS = ("resnet-20", "resnet-32", "resnet-56")
MASKS, SEED = 64, 7
CLOCKS = {"wall": time.perf_counter_ns, "cpu": time.thread_time_ns}


def prepare(folder: Path) -> None:
    """Bundles of the networks that are missing in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    digits = data.load("digits")
    for name in NETWORKS:
        if not (folder / f"{name}.sanp").is_dir():
            export(name, folder / f"{name}.onnx", digits)
            compile_model(folder / f"{name}.onnx", folder / f"{name}.sanp", target="host")


def timed(bundle: Bundle, beside: Engine, seconds: float, clock: Clock) -> dict[str, np.ndarray]:
    """ms of each mask at one speed of the machine, and of the network beside it: float64 [masks], [1]."""
    x, points = bundle.reference().x, spread_points(bundle.manifest.layers, MASKS, SEED)
    plain = [beside.bind(np.ascontiguousarray(beside.bundle.reference().x[:1]))] * len(points)
    with load(bundle.path, variant=OPEN) as engine:
        calls = [engine.bind(np.ascontiguousarray(x[i % len(x)][None]), point) for i, point in enumerate(points)]
        found = measure({OPEN: calls, DENSE: plain}, seconds, clock=clock).latency_ms
    return {OPEN: steadied(found[OPEN], found[DENSE]), DENSE: np.median(found[DENSE], keepdims=True)[0]}


def compared(table: LatencyTable, bundle: Bundle, times: dict[str, np.ndarray]) -> dict[str, Any]:
    """Errors of the prediction, as it is and at the speed of the machine when the table was measured."""
    points = spread_points(bundle.manifest.layers, MASKS, SEED)
    masks = {name: np.concatenate([point[name] for point in points]) for name in points[0]}
    predicted = table.predict(bundle.manifest.layers, masks, bundle.manifest.blocks)
    pace = float(times[DENSE][0]) / table.dense_ms
    rows = {"as measured": times[OPEN], "at the speed of the table": times[OPEN] / pace}
    return {
        "layers": len(bundle.manifest.layers), "pace": pace, "measured_ms": times[OPEN].tolist(),
        "predicted_ms": predicted.tolist(), **{name: errors(predicted, measured) for name, measured in rows.items()},
    }  # fmt: skip


def errors(predicted: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    """Relative: of the mean over the masks, and of single masks."""
    single = np.abs(predicted / measured - 1)
    return {
        "mean": float(predicted.mean() / measured.mean() - 1), "median": float(np.median(single)),
        "p90": float(np.percentile(single, 90)), "largest": float(single.max()),
    }  # fmt: skip


def main() -> int:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path, help="folder of the bundles")
    options.add_argument("--prepare", action="store_true", help="export and compile instead of measuring")
    options.add_argument("--duration", type=float, default=12.0, help="seconds for the table and for each network")
    options.add_argument(
        "--clock", choices=list(CLOCKS), default="wall", help="cpu: processor time of the thread, for a machine in use"
    )
    options.add_argument("--json", type=Path, help="where the result goes")
    args = options.parse_args()
    if args.prepare:
        prepare(args.folder)
        return 0
    bundles = {name: open_bundle(args.folder / f"{name}.sanp") for name in NETWORKS}
    table = measure_table(bundles[FITTED], duration_s=args.duration, clock=CLOCKS[args.clock])
    print(*table_lines(table.to_json()), sep="\n")
    rows = {}
    with pinned(choose_cpus(1)), load(bundles[FITTED].path, variant=DENSE) as beside:
        for name, bundle in bundles.items():
            rows[name] = compared(table, bundle, timed(bundle, beside, args.duration, CLOCKS[args.clock]))
            shown = rows[name]["at the speed of the table"]
            print(
                f"{name:10} pace {rows[name]['pace']:.2f}, mean {rows[name]['as measured']['mean']:+.1%}; at one speed "
                f"{shown['mean']:+.1%}, single masks: median {shown['median']:.1%}, 90 % within {shown['p90']:.1%}, "
                f"largest {shown['largest']:.1%}"
            )
    device = fingerprint()
    about = {"clock": args.clock, "device_id": device_id(device), "device_name": describe(device)}
    write_json(args.json, {**about, "table": table.to_json(), "networks": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
