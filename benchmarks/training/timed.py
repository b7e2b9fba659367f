"""Networks trained for a time and for MACs, all timed in turn in one process, beside what their latency table predicts.

    sanp compare --methods sanp --budgets "[0.35, 0.5]" --width 0.5 --epochs 22 --pretrain-epochs 6 -o build/timed
    sanp profile build/timed/cells/sanp-0.35-seed-0/model.sanp --table table.json
    sanp compare ... --latencies 0.115ms --table table.json -o build/timed     # the first command and two settings more
    python -m benchmarks.training.timed build/timed table.json --json timed.json

`sanp compare` times each network by itself; differences of a percent need all of them in turn. One thread, one image
after another of the reference samples, each network beside the dense one, which tells how fast the machine is.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command_line import json_parser, write_json
from sanp_runtime.bundle.reader import Bundle, open_bundle
from sanp_runtime.contract import DENSE, GATED
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.bound_call import BoundCall
from sanp_runtime.engines.load import load_bundle
from sanp_runtime.latency.measure import steadied
from sanp_runtime.latency.table import LatencyTable, read_table
from sanp_runtime.measure.timing import Measurement, measure
from sanp_targets.device import describe, device_id, fingerprint
from sanp_targets.pinning import choose_cpus, pinned

CLOCKS = {"wall": time.perf_counter_ns, "cpu": time.thread_time_ns}


def calls(engine: Engine, bundle: Bundle) -> list[BoundCall]:
    """A call for each reference sample."""
    return [engine.bind(np.ascontiguousarray(image[None])) for image in bundle.reference().x]


def timed(bundles: dict[str, Bundle], seconds: float, clock: str) -> Measurement:
    """The gated networks, and the dense form of the first one."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(pinned(choose_cpus(1)))
        engines = {name: stack.enter_context(load_bundle(bundle, GATED)) for name, bundle in bundles.items()}
        first = next(iter(bundles.values()))
        runs = {name: calls(engine, bundles[name]) for name, engine in engines.items()}
        runs[DENSE] = calls(stack.enter_context(load_bundle(first, DENSE)), first)
        return measure(runs, seconds, clock=CLOCKS[clock])


def row(trained: dict[str, Any], bundle: Bundle, measured: np.ndarray, pace: float, table: LatencyTable) -> dict:
    """Accuracy, cost, and times [samples]; errors at the speed that the machine had when the table was measured."""
    predicted = table.predict(bundle.manifest.layers, bundle.reference().scales, bundle.manifest.blocks)
    single = np.abs(predicted * pace / measured - 1)
    return {
        "goal": trained["settings"]["budget_latency"] or trained["settings"]["budget"],
        "seed": trained["settings"]["seed"], "accuracy": trained["test"]["accuracy"], "macs": trained["test"]["cost"],
        "measured_ms": float(measured.mean()), "predicted_ms": float(predicted.mean()),
        "error": float(predicted.mean() / measured.mean() - 1),
        "error_at_one_speed": float(predicted.mean() * pace / measured.mean() - 1),
        "samples": {
            "median": float(np.median(single)), "p90": float(np.percentile(single, 90)),
            "correlation": float(np.corrcoef(predicted, measured)[0, 1]),
        },
    }  # fmt: skip


def main() -> int:
    """Command line."""
    options = json_parser(__doc__)
    options.add_argument("folder", type=Path, help="folder of a comparison whose networks have been compiled")
    options.add_argument("table", type=Path, help="their latency table")
    options.add_argument("--duration", type=float, default=20.0, help="seconds of measurement over all networks")
    options.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: for a machine in use")
    args = options.parse_args()
    table = read_table(args.table)
    folders = sorted(path.parent for path in (args.folder / "cells").glob("*/model.sanp"))
    bundles = {folder.name: open_bundle(folder / "model.sanp") for folder in folders}
    found = timed(bundles, args.duration, args.clock)
    dense = found.latency_ms[DENSE]
    pace, rows = float(np.median(dense)) / table.dense_ms, []
    for folder in folders:
        trained = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
        rows.append(row(trained, bundles[folder.name], steadied(found.latency_ms[folder.name], dense), pace, table))
    print(f"dense {float(np.median(dense)):.4f} ms, {pace:.2f} times that of the table")
    for goal in dict.fromkeys(one["goal"] for one in rows):
        own = [one for one in rows if one["goal"] == goal]
        means = {key: statistics.mean(one[key] for one in own) for key in ("accuracy", "macs", "measured_ms", "error")}
        each = ", ".join(f"{one['accuracy']:.1%} at {one['measured_ms']:.4f} ms" for one in own)
        print(
            f"{goal!s:8} accuracy {means['accuracy']:.2%}, {means['macs']:.1%} of the MACs, measured "
            f"{means['measured_ms']:.4f} ms, prediction {means['error']:+.1%}; {each}"
        )
    device = fingerprint()
    about = {"clock": args.clock, "device_id": device_id(device), "device_name": describe(device), "pace": pace}
    write_json(args.json, {**about, "rows": rows, "table": table.to_json()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
