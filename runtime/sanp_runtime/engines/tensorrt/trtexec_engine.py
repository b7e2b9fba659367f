"""Run an engine of a bundle with trtexec, for machines that have TensorRT but not its Python package.

Every call is a process of a second or more that loads the engine, so this serves validation and measurement, not use.
Latencies are trtexec's own GPU times, in its CUDA graph, without transfers.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import plain_name
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.bound_call import Binding
from sanp_runtime.engines.proof import Proof
from sanp_runtime.engines.shared_object import check_shared_object
from sanp_runtime.engines.tensorrt import trtexec
from sanp_runtime.engines.tensorrt.base import TensorrtBase, repeat_rows
from sanp_runtime.engines.tensorrt.versions import gpu, trtexec_version
from sanp_runtime.measure.node_times import NodeTime, aggregate_rows
from sanp_runtime.measure.timing import Measurement, WarmUp
from sanp_targets.errors import ConfigError, InputError

_MIN_CALLS = 20


class TrtexecEngine(TensorrtBase):
    """An engine file and the trtexec that runs it."""

    INCLUDES = (
        "GPU time of one inference by trtexec, in a CUDA graph, input already in device memory; not included: the "
        "host, loading and normalising images, transfers, choosing the class"
    )
    PROFILED_BY = "trtexec's profile"
    BINDS = False

    def __init__(self, bundle: Bundle, variant: str, path: Path) -> None:
        self._trtexec, self._version = path, trtexec_version(path)
        super().__init__(bundle, variant, {"tensorrt": self._version, **gpu()})
        trtexec.check_profiles(self._version, len(self._profiles))
        if self._plugin is not None:
            check_shared_object(self._plugin)

    def proof(self) -> Proof:
        """Compare trtexec's layer information with the layers that should be ours; InputError for the dense variant."""
        sample = np.zeros((1, *self.manifest.input["shape"]), np.float32)
        with tempfile.TemporaryDirectory(prefix="sanp-trtexec-") as name:
            info = Path(name) / "layers.json"
            flags = ["--profilingVerbosity=detailed", f"--exportLayerInfo={info}", "--iterations=1", "--duration=0"]
            self._call(Path(name), self._feeds(sample, None), 1, flags)
            return self._prove(_text(info), f"TensorRT {self._version}'s layer information")

    def node_times(
        self, batches: Sequence[np.ndarray], skip: int = 0, masks: Optional[Mapping[str, np.ndarray]] = None
    ) -> List[NodeTime]:
        """Layers from trtexec's profile of every distinct batch; it warms up itself, so that `skip` has no effect."""
        distinct = {batch.tobytes(): batch for batch in batches}
        calls: List[List[Tuple[str, float]]] = []
        for batch in distinct.values():
            with tempfile.TemporaryDirectory(prefix="sanp-trtexec-") as name:
                times, profile = Path(name) / "times.json", Path(name) / "profile.json"
                flags = trtexec.timing_flags(str(times), str(profile), calls=_MIN_CALLS)
                self._call(Path(name), self._feeds(batch, masks), len(batch), flags)
                calls.append([(self._node(layer), ms) for layer, ms in trtexec.read_profile(_text(profile))])
        return aggregate_rows(calls)

    @classmethod
    def measure_together(
        cls, engines: Mapping[str, Engine], batches: Sequence[np.ndarray], duration_s: float
    ) -> Measurement:
        """Time every batch in every engine in turn, the engines side by side; equal numbers of calls for all."""
        start, readings = time.perf_counter(), [cls.read_sensors()]
        share = duration_s / (len(engines) * len(batches))
        columns: Dict[str, List[np.ndarray]] = {name: [] for name in engines}
        for batch in batches:
            for name, engine in engines.items():
                assert isinstance(engine, cls)
                columns[name].append(engine.gpu_times(batch, share))
            readings.append(cls.read_sensors())
        count = min(len(column) for rows in columns.values() for column in rows)
        return Measurement(
            latency_ms={name: np.stack([row[:count] for row in rows], axis=1) for name, rows in columns.items()},
            warm_up={name: WarmUp(0, 500.0, True) for name in engines},
            readings=tuple(readings),
            elapsed_s=time.perf_counter() - start,
            in_turns=False,
        )

    def gpu_times(self, batch: np.ndarray, duration_s: float) -> np.ndarray:
        """GPU milliseconds of at least 20 inferences of one batch."""
        with tempfile.TemporaryDirectory(prefix="sanp-trtexec-") as name:
            times = Path(name) / "times.json"
            flags = trtexec.timing_flags(str(times), calls=_MIN_CALLS, duration_s=duration_s)
            self._call(Path(name), self._feeds(batch, None), len(batch), flags)
            return trtexec.read_times(_text(times)).compute_ms

    def _run_part(self, feeds: Dict[str, np.ndarray], n: int) -> List[np.ndarray]:
        with tempfile.TemporaryDirectory(prefix="sanp-trtexec-") as name:
            outputs = Path(name) / "outputs.json"
            self._call(Path(name), feeds, n, trtexec.output_flags(str(outputs)))
            found = trtexec.read_outputs(_text(outputs))
        missing = [output for output in self.outputs if plain_name(output) not in found]
        if missing:
            raise InputError(f"{self._file}: has no output {missing[0]}, expected {self.outputs}; build it again")
        return [found[plain_name(output)] for output in self.outputs]

    def _bind(self, feeds: Dict[str, np.ndarray], outputs: Dict[str, np.ndarray]) -> Binding:
        raise ConfigError(
            "trtexec starts a process for every call, so that nothing can be bound, expected TensorRT's Python package "
            "for that; install it, or call the engine itself: engine(x)"
        )

    def _call(self, folder: Path, feeds: Mapping[str, np.ndarray], n: int, flags: Sequence[str]) -> None:
        whole = {**{name: np.ones((1, width), np.float32) for name, width in self._masks.items()}, **feeds}
        inputs = {}
        for index, (name, value) in enumerate(whole.items()):
            rows, path = repeat_rows(value, n), folder / f"{index}.bin"
            path.write_bytes(rows.tobytes())
            inputs[plain_name(name)] = (str(path), rows.shape)
        plugin = str(self._plugin) if self._plugin is not None else None
        profile = self._profile(whole) if len(self._profiles) > 1 else None
        line = trtexec.run_line(self._version, str(self._file), plugin, inputs, profile)
        trtexec.run(self._trtexec, [*line, *flags])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: trtexec did not write it ({error.strerror}); run it again with more space"
        ) from error
