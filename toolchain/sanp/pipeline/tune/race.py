"""Time plans inside the whole network: engines that differ only in the algorithms of their layers take turns.

A layer timed alone finds its weights in the cache; inside its network it often does not: ResNet-18 at full width is
larger than most caches. So layers are timed where they run, by ONNX Runtime's own profiler, on real samples with
their real gates. The profiler adds some microseconds to every node, the same for every algorithm.
"""

from __future__ import annotations

import gc
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sanp.pipeline.tune.search import Plan
from sanp_export.graph.model_file import metadata_of, to_graph, to_model
from sanp_export.passes.set_algorithms import set_algorithms
from sanp_export.variants import share_weights
from sanp_runtime.contract import CONV_SUFFIX, GATED_CONV, WEIGHTS_FILE
from sanp_runtime.engines.onnxruntime.session import open_session
from sanp_runtime.measure.node_times import read_series
from sanp_runtime.network.outputs import is_reserved
from sanp_targets.errors import MeasurementError
from sanp_targets.pinning import choose_cpus, pinned

THREADS = 1
# Rounds before the count starts: the first call transforms weights, and the clock of the processor rises.
_WARM_ROUNDS = 3
# Calls before the next engine has its turn: the load of a shared machine changes within tens of milliseconds.
_PER_TURN = 2
# What the profiler cuts off a time on average.
_CUT_MS = 0.0005


def with_algorithms(model: onnx.ModelProto, plan: Plan) -> onnx.ModelProto:
    """A copy of a model whose layers carry the algorithms of a plan."""
    graph = to_graph(model)
    set_algorithms(graph, plan)
    return to_model(graph, metadata_of(model))


def race_networks(
    models: Mapping[str, onnx.ModelProto], feeds: Sequence[Mapping[str, np.ndarray]], library: Path, rounds: int
) -> dict[str, np.ndarray]:
    """ms per call of whole networks, in every round, float64 [rounds]: other graphs of one network, by name."""
    with tempfile.TemporaryDirectory(prefix="sanp-race-") as folder:
        sessions = _open(list(models.values()), Path(folder), library, None, profiled=False)
        return dict(zip(models, _take_turns(sessions, _in_turns(feeds), rounds)))


class PlanRace:
    """`sanp.pipeline.tune.search.Race` on this machine.

    model: a gated graph; feeds: inputs of one call each, every plan gets all of them in every round; library: the
    operator library; entries: what the sessions ask of it, see `OpLibrary.session_entries`.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        feeds: Sequence[Mapping[str, np.ndarray]],
        library: Path,
        entries: Mapping[str, str] | None = None,
    ) -> None:
        self._model, self._library, self._entries = model, library, entries
        self._turns = _in_turns(feeds)

    def layers(self, plans: Sequence[Plan], rounds: int) -> list[dict[str, np.ndarray]]:
        """ms per call of every gated convolution; MeasurementError if one is missing in the profile."""
        with tempfile.TemporaryDirectory(prefix="sanp-tune-") as folder:
            sessions = self._sessions(plans, Path(folder), profiled=True)
            _take_turns(sessions, self._turns, rounds)
            return [self._per_layer(read_series(Path(session.end_profiling())), rounds) for session in sessions]

    def network(self, plans: Sequence[Plan], rounds: int) -> list[np.ndarray]:
        """ms per call of the whole network, without the profiler."""
        with tempfile.TemporaryDirectory(prefix="sanp-tune-") as folder:
            return _take_turns(self._sessions(plans, Path(folder), profiled=False), self._turns, rounds)

    def _sessions(self, plans: Sequence[Plan], folder: Path, profiled: bool) -> list[Any]:
        models = [with_algorithms(self._model, plan) for plan in plans]
        return _open(models, folder, self._library, self._entries, profiled)

    def _per_layer(self, series: Mapping[str, Sequence[float]], rounds: int) -> dict[str, np.ndarray]:
        """Means over the samples of a round, because the profiler cuts times to whole microseconds."""
        counted = [call > 0 for feeds in self._turns for call in range(1 + len(feeds))]
        shape = (_WARM_ROUNDS + rounds, len(counted))
        found = {}
        for node, times in series.items():
            if node.endswith(CONV_SUFFIX) and len(times) == math.prod(shape):
                found[node[: -len(CONV_SUFFIX)]] = np.reshape(times, shape)[_WARM_ROUNDS:, counted].mean(1) + _CUT_MS
        nodes = [node.name for node in self._model.graph.node if node.op_type == GATED_CONV]
        missing = [name for name in nodes if name[: -len(CONV_SUFFIX)] not in found]
        if missing:
            raise MeasurementError(
                f"ONNX Runtime's profile has no times of {', '.join(missing)[:200]}, expected {math.prod(shape)} calls "
                "of each gated convolution; compile without --tune"
            )
        return found


def _open(
    models: Sequence[onnx.ModelProto],
    folder: Path,
    library: Path,
    entries: Mapping[str, str] | None,
    profiled: bool,
) -> list[Any]:
    """One session per model; they map the same weights file, as the graphs of a bundle do."""
    files, weights = share_weights({str(i): model for i, model in enumerate(models)})
    with (folder / WEIGHTS_FILE).open("wb") as stream:
        weights.write(stream)
    sessions = []
    for name, content in files.items():
        (folder / f"{name}.onnx").write_bytes(content)
        prefix = folder / f"trace-{name}" if profiled else None
        sessions.append(open_session(folder / f"{name}.onnx", THREADS, library, prefix, entries))
    return sessions


def _in_turns(feeds: Sequence[Mapping[str, np.ndarray]]) -> list[Sequence[Mapping[str, np.ndarray]]]:
    return [feeds[start : start + _PER_TURN] for start in range(0, len(feeds), _PER_TURN)]


def _take_turns(
    sessions: Sequence[Any], turns: Sequence[Sequence[Mapping[str, np.ndarray]]], rounds: int
) -> list[np.ndarray]:
    """ms per call [rounds] of each session; all run all feeds in every round, a few at a time."""
    times = np.zeros((len(sessions), _WARM_ROUNDS + rounds))
    collecting = gc.isenabled()
    gc.disable()
    try:
        with pinned(choose_cpus(THREADS)):
            for index in range(times.shape[1]):
                for number, feeds in enumerate(turns):
                    for shift in range(len(sessions)):
                        at = (index + number + shift) % len(sessions)
                        times[at, index] += _turn(sessions[at], feeds)
    finally:
        if collecting:
            gc.enable()
    return list(times[:, _WARM_ROUNDS:] / sum(map(len, turns)))


def _turn(session: Any, feeds: Sequence[Mapping[str, np.ndarray]]) -> float:
    """ms of all feeds; a first call that is not counted brings the weights of this session back into the caches."""
    outputs = [value.name for value in session.get_outputs() if not is_reserved(value.name)]
    session.run(outputs, feeds[0])
    start = time.perf_counter_ns()
    for values in feeds:
        session.run(outputs, values)
    return (time.perf_counter_ns() - start) / 1e6
