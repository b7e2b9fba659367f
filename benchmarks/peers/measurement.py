"""What a run holds: the machine, every cell (batch x threads) of a network, and whether something went wrong."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.peers.catalog import BY_NAME, Engine
from benchmarks.peers.prepare import Plan, prepare
from benchmarks.peers.rounds import WRONG, Ours, measure
from benchmarks.sessions import digest


def machine(packages: Iterable[str], library: Path) -> dict[str, Any]:
    """What the numbers depend on besides the settings: processor, versions, digest of the operator library."""
    return {**describe(*packages), "library_sha256": digest(library)}


def measure_network(name: str, engines: list[Engine], settings: dict[str, Any], library: Path) -> dict[str, Any]:
    """All cells of one network, with its multiply-adds and what share of them each engine computes."""
    plan = Plan.make(name, settings["width"])
    forms = {"dense": plan.network, "narrow": plan.narrow, "uneven": plan.uneven}
    ours = Ours(library, settings["isa"])
    cells, costs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for batch in settings["batches"]:
            prepared = prepare(plan, batch, engines, Path(folder) / f"batch{batch}")
            costs.append(prepared.cost)
            for threads in settings["threads"]:
                load, start = os.getloadavg()[0], time.perf_counter()
                results = measure(engines, prepared, threads, ours, settings["rounds"], settings["seconds"])
                cells.append({"batch": batch, "threads": threads, "load": load, "engines": results})
                seconds = time.perf_counter() - start
                print(f"{name}, batch {batch}, {threads} thread(s): {seconds:.0f} s, load {load:.1f}", file=sys.stderr)
    return {
        "macs": plan.network.macs,
        "keep": plan.keep,
        "widths": {form: [conv.layer.c_out for conv in network.convs.values()] for form, network in forms.items()},
        "shares": {engine.name: plan.share(engine.model, sum(costs) / len(costs)) for engine in engines},
        "cells": cells,
    }


def failed(report: dict[str, Any]) -> bool:
    """Whether an engine gave wrong answers, or one of ours was not measured for any reason."""
    cells = [cell for network in report["networks"].values() for cell in network["cells"]]
    results = [pair for cell in cells for pair in cell["engines"].items() if "not_measured" in pair[1]]
    return any(BY_NAME[name].ours or result["not_measured"].startswith(WRONG) for name, result in results)
