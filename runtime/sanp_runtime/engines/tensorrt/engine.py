"""Run one TensorRT engine of a bundle through the Python package."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import plain_name
from sanp_runtime.engines.bound_call import Binding
from sanp_runtime.engines.proof import Proof
from sanp_runtime.engines.tensorrt.api import Tensorrt
from sanp_runtime.engines.tensorrt.base import TensorrtBase, repeat_rows
from sanp_runtime.engines.tensorrt.cuda import Cuda
from sanp_runtime.engines.tensorrt.plugin import load_plugin
from sanp_runtime.measure.node_times import NodeTime, aggregate_rows
from sanp_targets.errors import ConfigError, InputError, TargetError


class TensorrtEngine(TensorrtBase):
    """An engine with its device memory for up to `max_batch` samples; larger batches run in parts."""

    INCLUDES = (
        "one call of the engine with the input already in device memory: TensorRT's enqueue, the Python call around "
        "it, the copy of the outputs to the host and the wait for them; not included: loading and normalising images, "
        "copying the input to the device, reading the gates, choosing the class"
    )
    PROFILED_BY = "TensorRT's profiler"

    def __init__(self, bundle: Bundle, variant: str) -> None:
        self._trt = Tensorrt()
        self._bound: Optional[Dict[str, int]] = None
        self._cuda = Cuda()
        try:
            super().__init__(bundle, variant, {"tensorrt": self._trt.version, **self._cuda.describe()})
            if self._plugin is not None:
                load_plugin(self._plugin)
            self._engine = self._trt.load(self._file.read_bytes(), self._file.name)
            self._check_signature()
            self._contexts: Dict[int, Any] = {}  # one for each optimisation profile in use
            self._profiler: Any = None
            self._allocate()
        except BaseException:
            self._cuda.close()
            raise

    def proof(self) -> Proof:
        """Compare TensorRT's inspector with the layers that should be ours; InputError for the dense variant."""
        seen_in = f"TensorRT {self._trt.version}'s engine inspector"
        return self._prove(self._trt.layer_information(self._engine), seen_in)

    def node_times(
        self, batches: Sequence[np.ndarray], skip: int = 0, masks: Optional[Mapping[str, np.ndarray]] = None
    ) -> List[NodeTime]:
        """Layers of the engine in order of execution, under the node they compute; fused layers under their first one.

        The profiler measures every layer alone, without overlap: read the result as shares, not as latency.
        """
        profiler = self._profiler = self._trt.profiler()
        self._forget_contexts()  # a profiler cannot be taken off again, so that those with one are others
        calls: List[List[Tuple[str, float]]] = []
        try:
            for batch in batches:
                profiler.rows = []
                self._execute(self._feeds(batch, masks), len(batch))
                self._cuda.synchronize()
                calls.append(profiler.rows)
        finally:
            self._profiler = None
            self._forget_contexts()
        return aggregate_rows([[(self._node(name), ms) for name, ms in rows] for rows in calls], skip)

    def close(self) -> None:
        """Free the device memory and the engine."""
        if not self._closed:
            super().close()
            self._forget_contexts()
            self._engine = None
            self._cuda.close()

    def _run_part(self, feeds: Dict[str, np.ndarray], n: int) -> List[np.ndarray]:
        self._execute(feeds, n)
        values = {name: np.empty((n, *shape), np.float32) for name, shape in self._sizes(feeds).items()}
        self._fetch(values)
        return [values[name] for name in self.outputs]

    def _bind(self, feeds: Dict[str, np.ndarray], outputs: Dict[str, np.ndarray]) -> Binding:
        """Device memory of its own for the inputs, so that several bound calls keep theirs apart."""
        n = len(next(iter(feeds.values())))
        if n > self.max_batch:
            raise ConfigError(
                f"the batch has {n} samples, the engine was built for at most {self.max_batch}; use a smaller batch or "
                "compile with a larger --max-batch"
            )
        places = {name: self._cuda.allocate(repeat_rows(value, n).nbytes) for name, value in feeds.items()}
        profile, stream = self._profile(feeds), self._cuda.stream

        def upload() -> None:
            for name, value in feeds.items():
                self._cuda.upload(places[name], repeat_rows(value, n))

        def run() -> None:
            if not self._point(profile, n, places).execute_async_v3(stream):
                raise self._not_run()
            self._fetch(outputs)

        def release(cuda: Cuda = self._cuda) -> None:
            for pointer in places.values():
                cuda.free(pointer)

        upload()
        return Binding(run, upload, release)

    def _execute(self, feeds: Dict[str, np.ndarray], n: int) -> None:
        """Upload into the shared input buffers and enqueue."""
        for name, value in feeds.items():
            self._cuda.upload(self._memory[name], repeat_rows(value, n))
        places = {name: self._memory[name] for name in feeds}
        self._bound = None
        if not self._point(self._profile(feeds), n, places).execute_async_v3(self._cuda.stream):
            raise self._not_run()

    def _fetch(self, values: Dict[str, np.ndarray]) -> None:
        """Copy outputs to the host and wait for everything that was queued."""
        for name, value in values.items():
            self._cuda.download(value, self._memory[name])
        self._cuda.synchronize()

    def _point(self, profile: int, n: int, places: Dict[str, int]) -> Any:
        """The context of a profile, told shapes and addresses unless the last call's; masks not given are ones."""
        context = self._contexts.get(profile)
        if context is None:
            context = self._trt.context(self._engine, profile, self._cuda.stream, of=len(self._profiles))
            if self._profiler is not None:
                context.profiler = self._profiler
            self._contexts[profile], self._bound = context, None
        if self._bound is places:
            return context
        for name, shape in self._inputs[profile].items():
            context.set_input_shape(plain_name(name), (n, *shape))
            context.set_tensor_address(plain_name(name), places.get(name, self._ones))
        for name in self.outputs:
            context.set_tensor_address(plain_name(name), self._memory[name])
        self._bound = places
        return context

    def _forget_contexts(self) -> None:
        """Let the next call make its context."""
        self._contexts.clear()
        self._bound = None

    def _allocate(self) -> None:
        """Memory for the largest batch of the largest images; inputs and outputs of every profile."""
        image, channels = self.manifest.input["name"], self.manifest.input["shape"][0]
        masks = {name: (width,) for name, width in self._masks.items()}
        self._inputs: List[Dict[str, Tuple[int, ...]]] = [{image: (channels, *at), **masks} for at in self._profiles]
        floats: Dict[str, int] = {}
        for shapes in self._inputs:
            sample = {image: np.empty((1, *shapes[image]), np.float32)}
            for name, shape in {**shapes, **self._sizes(sample)}.items():
                floats[name] = max(floats.get(name, 0), int(np.prod(shape)))
        self._memory = {name: self._cuda.allocate(4 * self.max_batch * count) for name, count in floats.items()}
        ones = np.ones((self.max_batch, max(self._masks.values(), default=1)), np.float32)
        self._ones = self._cuda.allocate(ones.nbytes)
        self._cuda.upload(self._ones, ones)

    def _check_signature(self) -> None:
        found = self._trt.tensors(self._engine)
        expected = dict.fromkeys(map(plain_name, [self.manifest.input["name"], *self._masks]), True)
        expected.update(dict.fromkeys(map(plain_name, self.outputs), False))
        if found != expected:
            wrong = sorted(set(found.items()) ^ set(expected.items()))
            raise InputError(
                f"{self._file.name}: has the wrong inputs and outputs ({wrong!r:.200}), expected those of the "
                "manifest; build the engines of this bundle again"
            )

    def _not_run(self) -> TargetError:
        return TargetError(
            f"TensorRT could not run the variant {self.variant}, expected it to; build the engines of this bundle again"
        )
