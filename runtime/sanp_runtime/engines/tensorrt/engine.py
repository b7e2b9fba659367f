"""Run one TensorRT engine of a bundle through the Python package."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.reader import Bundle, PathLike
from sanp_runtime.contract import LOGITS, PLUGIN_FILE, mask_input
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.proof import Proof, expected_nodes
from sanp_runtime.engines.tensorrt.api import Tensorrt
from sanp_runtime.engines.tensorrt.cuda import Cuda
from sanp_runtime.engines.tensorrt.layers import node_name, our_layers, read_layers
from sanp_runtime.engines.tensorrt.plugin import load_plugin
from sanp_runtime.engines.tensorrt.tools import has_package
from sanp_runtime.engines.tensorrt.trtexec_engine import TrtexecEngine
from sanp_runtime.engines.tensorrt.versions import build_command, check_same, find_trtexec
from sanp_runtime.measure.node_times import NodeTime, aggregate_rows
from sanp_targets.errors import ConfigError, InputError, TargetError


class TensorrtEngine(Engine):
    """An engine with its device memory for up to `max_batch` samples; larger batches run in parts."""

    INCLUDES = (
        "one call of the engine with the input already in device memory: TensorRT's enqueue, the Python call around "
        "it, the copy of the logits to the host and the wait for them; not included: loading and normalising images, "
        "copying the input to the device, reading the gates, choosing the class"
    )
    PROFILED_BY = "TensorRT's profiler"

    def __init__(self, bundle: Bundle, variant: str) -> None:
        super().__init__(bundle, variant)
        self._trt = Tensorrt()
        self._bound: Optional[Dict[str, int]] = None
        self.max_batch = int(self.manifest.build["batch"]["max"])
        plugin = bundle.path / PLUGIN_FILE
        self._cuda = Cuda()
        try:
            self.fingerprint = {"tensorrt": self._trt.version, **self._cuda.describe()}
            check_same(self.manifest.build["fingerprint"], self.fingerprint, bundle.path)
            if PLUGIN_FILE in self.manifest.files:
                load_plugin(plugin)
            name = self.manifest.build["engines"][variant]["file"]
            self._engine = self._trt.load((bundle.path / name).read_bytes(), name)
            self._check_signature(name)
            self._context: Any = self._engine.create_execution_context()
            self._allocate()
        except BaseException:
            self._cuda.close()
            raise

    def proof(self) -> Proof:
        """Compare TensorRT's inspector with the layers that should be ours."""
        expected = expected_nodes(self.manifest, self.variant)
        layers = read_layers(self._trt.layer_information(self._engine))
        return Proof(
            variant=self.variant,
            gated_nodes=expected,
            accelerated=our_layers(layers, expected),
            isa=f"sm_{self.fingerprint['sm']}",
            library_version=str(self.manifest.build["fingerprint"].get("plugin", "")) or None,
            seen_in=f"TensorRT {self._trt.version}'s engine inspector",
        )

    def node_times(self, batches: Sequence[np.ndarray], skip: int = 0) -> List[NodeTime]:
        """Layers of the engine in order of execution, under the node they compute; fused layers under their first one.

        The profiler measures every layer alone, without overlap: read the result as shares, not as latency.
        """
        profiler = self._trt.profiler()
        usual, self._context, self._bound = self._context, self._engine.create_execution_context(), None
        self._context.profiler = profiler  # which cannot be taken off again, so it gets a context of its own
        calls: List[List[Tuple[str, float]]] = []
        try:
            for batch in batches:
                profiler.rows = []
                self._execute(self._feeds(batch, None), len(batch))
                self._cuda.synchronize()
                calls.append(profiler.rows)
        finally:
            self._context, self._bound = usual, None
        return aggregate_rows([[(node_name(name), ms) for name, ms in rows] for rows in calls], skip)

    def accelerator(self) -> Dict[str, Any]:
        """GPU, compute capability, multiprocessors; TensorRT, CUDA and driver versions."""
        return dict(self.fingerprint)

    def versions(self) -> Dict[str, str]:
        """TensorRT, CUDA and driver."""
        return {key: str(self.fingerprint[key]) for key in ("tensorrt", "cuda", "driver")}

    def close(self) -> None:
        """Free the device memory and the engine."""
        if not self._closed:
            self._context = self._engine = None
            self._cuda.close()
        super().close()

    def _run(self, feeds: Dict[str, np.ndarray], n: int) -> List[np.ndarray]:
        parts = []
        for start in range(0, n, self.max_batch):
            rows = slice(start, min(start + self.max_batch, n))
            count = rows.stop - rows.start
            self._execute({name: value if len(value) == 1 < n else value[rows] for name, value in feeds.items()}, count)
            values = [np.empty((count, width), np.float32) for width in self._widths]
            for name, value in zip(self.outputs, values):
                self._cuda.download(value, self._memory[name])
            self._cuda.synchronize()
            parts.append(values)
        return [np.concatenate(columns) for columns in zip(*parts)]

    def _bind(self, feeds: Dict[str, np.ndarray], logits: np.ndarray) -> Callable[[], np.ndarray]:
        n = len(logits)
        if n > self.max_batch:
            raise ConfigError(
                f"the batch has {n} samples, the engine was built for at most {self.max_batch}; use a smaller batch or "
                "compile with a larger --max-batch"
            )
        places = {name: self._place(name, value, n) for name, value in feeds.items()}
        cuda, context, source = self._cuda, self._context, self._memory[LOGITS]

        def run(keep_alive: Any = feeds) -> np.ndarray:
            self._point(n, places)
            if not context.execute_async_v3(cuda.stream):
                raise TargetError(f"TensorRT could not run {self.variant}; build the engines of this bundle again")
            cuda.download(logits, source)
            cuda.synchronize()
            return logits

        return run

    def _execute(self, feeds: Dict[str, np.ndarray], n: int) -> None:
        """Upload into the shared input buffers and enqueue."""
        for name, value in feeds.items():
            self._cuda.upload(self._memory[name], self._rows(value, n))
        places = {name: self._memory[name] for name in feeds}
        self._bound = None
        self._point(n, places)
        if not self._context.execute_async_v3(self._cuda.stream):
            raise TargetError(f"TensorRT could not run {self.variant}; build the engines of this bundle again")

    def _point(self, n: int, places: Dict[str, int]) -> None:
        """Tell the context shapes and addresses, unless they are those of the last call; masks not given are ones."""
        if self._bound is places:
            return
        for name, shape in self._inputs.items():
            self._context.set_input_shape(name, (n, *shape))
            self._context.set_tensor_address(name, places.get(name, self._ones))
        for name in self.outputs:
            self._context.set_tensor_address(name, self._memory[name])
        self._bound = places

    def _place(self, name: str, value: np.ndarray, n: int) -> int:
        rows = self._rows(value, n)
        pointer = self._cuda.allocate(rows.nbytes)
        self._cuda.upload(pointer, rows)
        return pointer

    @staticmethod
    def _rows(value: np.ndarray, n: int) -> np.ndarray:
        """One row per sample: TensorRT's mask inputs do not broadcast."""
        return np.ascontiguousarray(np.broadcast_to(value, (n, *value.shape[1:])))

    def _allocate(self) -> None:
        widths = {name: self.manifest.layer(name).c_out for name in self.gated}
        self._inputs: Dict[str, Tuple[int, ...]] = {self.manifest.input["name"]: tuple(self.manifest.input["shape"])}
        self._inputs.update({mask_input(name): (width,) for name, width in widths.items()})
        self._widths = [self.manifest.classes, *widths.values()]
        floats = {name: int(np.prod(shape)) for name, shape in self._inputs.items()}
        floats.update(dict(zip(self.outputs, self._widths)))
        self._memory = {name: self._cuda.allocate(4 * self.max_batch * count) for name, count in floats.items()}
        ones = np.ones((self.max_batch, max(self._widths)), np.float32)
        self._ones = self._cuda.allocate(ones.nbytes)
        self._cuda.upload(self._ones, ones)

    def _check_signature(self, name: str) -> None:
        found = self._trt.tensors(self._engine)
        expected = dict.fromkeys([self.manifest.input["name"], *(mask_input(layer) for layer in self.gated)], True)
        expected.update(dict.fromkeys(self.outputs, False))
        if found != expected:
            wrong = sorted(set(found.items()) ^ set(expected.items()))
            raise InputError(
                f"{name}: has the wrong inputs and outputs ({wrong!r:.200}), expected those of the manifest; "
                "build the engines of this bundle again"
            )


def open_tensorrt(
    bundle: Bundle, variant: str, threads: int, library: Optional[PathLike], isa: Optional[str]
) -> Engine:
    """The engine of one variant; TargetError if the bundle has no engines yet or they do not belong here."""
    if threads != 1 or library != "bundle" or isa is not None:
        raise ConfigError(
            f"threads={threads}, library={library!r}, isa={isa!r} were asked of a TensorRT bundle, which has none of "
            "them; leave them out"
        )
    if "engines" not in bundle.manifest.build:
        raise TargetError(
            f"{bundle.path}: has no engines yet, expected those of this device; build them: "
            f"{build_command(bundle.path)}"
        )
    path = None if has_package() else find_trtexec()
    return TensorrtEngine(bundle, variant) if path is None else TrtexecEngine(bundle, variant, path)
