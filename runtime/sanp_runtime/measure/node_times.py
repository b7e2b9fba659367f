"""What a backend's profiler tells of one node, and ONNX Runtime's trace: which node ran as which operator, how long."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from sanp_runtime.bundle.json_text import parse_json
from sanp_targets.errors import MeasurementError

_SUFFIX = "_kernel_time"

Shapes = Tuple[Tuple[int, ...], ...]


@dataclass(frozen=True)
class NodeTime:
    """One executed node: its name after graph optimisation, operator, provider, calls, and median time per call in ms.

    The median, because one preemption in a short run would multiply a mean. input_shapes, output_shapes: as ONNX
    Runtime saw them in the first call, constants included; empty where a backend does not tell.
    """

    name: str
    op: str
    provider: str
    calls: int
    typical_ms: float
    input_shapes: Shapes = ()
    output_shapes: Shapes = ()


def read_trace(path: Path, skip: int = 0) -> List[NodeTime]:
    """Nodes of a JSON trace written by ONNX Runtime, in order of execution; the first `skip` calls are not counted.

    Raises MeasurementError if the file cannot be read.
    """
    return _aggregate(_events(path), skip)


def read_series(path: Path) -> Dict[str, List[float]]:
    """Node -> ms of each of its calls, in order, from a trace of ONNX Runtime; MeasurementError as in `read_trace`."""
    series: Dict[str, List[float]] = {}
    for event in _events(path):
        series.setdefault(event["name"][: -len(_SUFFIX)], []).append(float(event["dur"]) / 1000.0)
    return series


def aggregate_rows(calls: Sequence[Sequence[Tuple[str, float]]], skip: int = 0) -> List[NodeTime]:
    """Nodes of several calls, each a list of (name, ms); rows of one name in one call are added. Median over calls."""
    times: Dict[str, List[float]] = {}
    for rows in calls[skip:]:
        sums: Dict[str, float] = {}
        for name, ms in rows:
            sums[name] = sums.get(name, 0.0) + ms
        for name, ms in sums.items():
            times.setdefault(name, []).append(ms)
    return [NodeTime(name, "", "", len(values), statistics.median(values)) for name, values in times.items()]


def _events(path: Path) -> List[Dict[str, Any]]:
    try:
        rows = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MeasurementError(
            f"ONNX Runtime's profile cannot be read ({error}), expected its JSON trace; check free space in the "
            "temporary folder"
        ) from error
    return [row for row in rows if row.get("cat") == "Node" and str(row.get("name", "")).endswith(_SUFFIX)]


def _aggregate(events: Sequence[Dict[str, Any]], skip: int) -> List[NodeTime]:
    groups: Dict[Tuple[str, str, str], List[Dict[str, Any]]] = {}
    for event in events:
        args = event.get("args", {})
        key = (event["name"][: -len(_SUFFIX)], str(args.get("op_name", "")), str(args.get("provider", "")))
        groups.setdefault(key, []).append(event)
    rows = []
    for key, group in groups.items():
        times = [float(event["dur"]) / 1000.0 for event in group[skip:]]
        args = group[0].get("args", {})
        shapes = [_shapes(args.get(name)) for name in ("input_type_shape", "output_type_shape")]
        rows.append(NodeTime(*key, len(times), statistics.median(times) if times else 0.0, *shapes))
    return rows


def _shapes(value: Any) -> Shapes:
    """[{"float": [1, 3, 8, 8]}, ...] -> ((1, 3, 8, 8), ...)."""
    return tuple(tuple(shape) for item in value or () for shape in item.values())
