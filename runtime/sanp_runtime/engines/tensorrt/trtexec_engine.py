"""Run an engine of a bundle with trtexec, for machines that have TensorRT but not its Python package.

Every call is a process of a second or more that loads the engine, so this serves validation and measurement, not use.
Latencies are trtexec's own GPU times, in its CUDA graph, without transfers.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import LOGITS, PLUGIN_FILE, mask_input
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.proof import Proof, expected_nodes
from sanp_runtime.engines.tensorrt import trtexec
from sanp_runtime.engines.tensorrt.layers import node_name, our_layers, read_layers
from sanp_runtime.engines.tensorrt.versions import check_same, gpu, trtexec_version
from sanp_runtime.measure.node_times import NodeTime, aggregate_rows
from sanp_runtime.measure.timing import Measurement, WarmUp
from sanp_targets.errors import InputError
from sanp_targets.sensors import read_sensors

_MIN_CALLS = 20


class TrtexecEngine(Engine):
    """An engine file and the trtexec that runs it."""

    INCLUDES = (
        "GPU time of one inference by trtexec, in a CUDA graph, input already in device memory; not included: the "
        "host, loading and normalising images, transfers, choosing the class"
    )
    PROFILED_BY = "trtexec's profile"

    def __init__(self, bundle: Bundle, variant: str, path: Path) -> None:
        super().__init__(bundle, variant)
        self._trtexec, self._version = path, trtexec_version(path)
        self.fingerprint = {"tensorrt": self._version, **gpu()}
        check_same(self.manifest.build["fingerprint"], self.fingerprint, bundle.path)
        self.max_batch = int(self.manifest.build["batch"]["max"])
        self._file = bundle.path / self.manifest.build["engines"][variant]["file"]
        self._plugin = str(bundle.path / PLUGIN_FILE) if PLUGIN_FILE in self.manifest.files else None

    def proof(self) -> Proof:
        """Compare trtexec's layer information with the layers that should be ours."""
        expected = expected_nodes(self.manifest, self.variant)
        sample = np.zeros((1, *self.manifest.input["shape"]), np.float32)
        with tempfile.TemporaryDirectory(prefix="sanp-trtexec-") as name:
            info = Path(name) / "layers.json"
            flags = ["--profilingVerbosity=detailed", f"--exportLayerInfo={info}", "--iterations=1", "--duration=0"]
            self._call(Path(name), self._feeds(sample, None), 1, flags)
            layers = read_layers(_text(info))
        return Proof(
            variant=self.variant,
            gated_nodes=expected,
            accelerated=our_layers(layers, expected),
            isa=f"sm_{self.fingerprint['sm']}",
            library_version=str(self.manifest.build["fingerprint"].get("plugin", "")) or None,
            seen_in=f"TensorRT {self._version}'s layer information",
        )

    def node_times(self, batches: Sequence[np.ndarray], skip: int = 0) -> List[NodeTime]:
        """Layers from trtexec's profile of every distinct batch; it warms up itself, so that `skip` has no effect."""
        distinct = {batch.tobytes(): batch for batch in batches}
        calls: List[List[Tuple[str, float]]] = []
        for batch in distinct.values():
            with tempfile.TemporaryDirectory(prefix="sanp-trtexec-") as name:
                times, profile = Path(name) / "times.json", Path(name) / "profile.json"
                flags = trtexec.timing_flags(str(times), str(profile), calls=_MIN_CALLS)
                self._call(Path(name), self._feeds(batch, None), len(batch), flags)
                calls.append([(node_name(layer), ms) for layer, ms in trtexec.read_profile(_text(profile))])
        return aggregate_rows(calls)

    def accelerator(self) -> Dict[str, Any]:
        """GPU, compute capability, multiprocessors; TensorRT, CUDA and driver versions."""
        return dict(self.fingerprint)

    def versions(self) -> Dict[str, str]:
        """TensorRT, CUDA and driver."""
        return {key: str(self.fingerprint[key]) for key in ("tensorrt", "cuda", "driver")}

    @classmethod
    def measure_together(
        cls, engines: Mapping[str, Engine], batches: Sequence[np.ndarray], duration_s: float
    ) -> Measurement:
        """Time every batch in every engine in turn, the engines side by side; equal numbers of calls for all."""
        start, readings = time.perf_counter(), [read_sensors()]
        share = duration_s / (len(engines) * len(batches))
        columns: Dict[str, List[np.ndarray]] = {name: [] for name in engines}
        for batch in batches:
            for name, engine in engines.items():
                assert isinstance(engine, cls)
                columns[name].append(engine.gpu_times(batch, share))
            readings.append(read_sensors())
        count = min(len(column) for rows in columns.values() for column in rows)
        return Measurement(
            latency_ms={name: np.stack([row[:count] for row in rows], axis=1) for name, rows in columns.items()},
            warm_up={name: WarmUp(0, 500.0, True) for name in engines},
            readings=tuple(readings),
            elapsed_s=time.perf_counter() - start,
        )

    def gpu_times(self, batch: np.ndarray, duration_s: float) -> np.ndarray:
        """GPU milliseconds of at least 20 inferences of one batch."""
        with tempfile.TemporaryDirectory(prefix="sanp-trtexec-") as name:
            times = Path(name) / "times.json"
            flags = trtexec.timing_flags(str(times), calls=_MIN_CALLS, duration_s=duration_s)
            self._call(Path(name), self._feeds(batch, None), len(batch), flags)
            return trtexec.read_times(_text(times)).compute_ms

    def _run(self, feeds: Dict[str, np.ndarray], n: int) -> List[np.ndarray]:
        parts = []
        for start in range(0, n, self.max_batch):
            count = min(self.max_batch, n - start)
            part = {name: v if len(v) == 1 < n else v[start : start + count] for name, v in feeds.items()}
            with tempfile.TemporaryDirectory(prefix="sanp-trtexec-") as name:
                outputs = Path(name) / "outputs.json"
                self._call(Path(name), part, count, trtexec.output_flags(str(outputs)))
                found = trtexec.read_outputs(_text(outputs))
            missing = [output for output in self.outputs if output not in found]
            if missing:
                raise InputError(f"{self._file}: has no output {missing[0]}, expected {self.outputs}; build it again")
            parts.append([found[output] for output in self.outputs])
        return [np.concatenate(columns) for columns in zip(*parts)]

    def _bind(self, feeds: Dict[str, np.ndarray], logits: np.ndarray) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            np.copyto(logits, self._run(feeds, len(logits))[self.outputs.index(LOGITS)])
            return logits

        return run

    def _call(self, folder: Path, feeds: Mapping[str, np.ndarray], n: int, flags: Sequence[str]) -> None:
        widths = {mask_input(name): self.manifest.layer(name).c_out for name in self.gated}
        whole = {**{name: np.ones((1, width), np.float32) for name, width in widths.items()}, **feeds}
        inputs = {}
        for index, (name, value) in enumerate(whole.items()):
            shape = (n, *value.shape[1:])
            path = folder / f"{index}.bin"
            path.write_bytes(np.ascontiguousarray(np.broadcast_to(value, shape)).tobytes())
            inputs[name] = (str(path), shape)
        line = trtexec.run_line(self._version, str(self._file), self._plugin, inputs)
        trtexec.run(self._trtexec, [*line, *flags])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: trtexec did not write it ({error.strerror}); run it again with more space"
        ) from error
