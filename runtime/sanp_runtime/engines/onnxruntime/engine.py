"""The ONNX Runtime backend: an ONNX model with our operator library registered, on the CPU."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import GATE_PREFIX, REPLAY, mask_input, steps_output
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.bound_call import Binding
from sanp_runtime.engines.feeds import check_masks
from sanp_runtime.engines.onnxruntime.distribution import describe
from sanp_runtime.engines.onnxruntime.library import ISA_ENTRY, OpLibrary
from sanp_runtime.engines.onnxruntime.session import PROVIDER, onnxruntime_version, open_session
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.engines.proof import Proof, expected_nodes
from sanp_runtime.measure.node_times import NodeTime, read_trace
from sanp_targets.errors import InputError


class OnnxEngine(Engine):
    """A variant of a bundle in an ONNX Runtime session; `library` is None in plain ONNX Runtime."""

    INCLUDES = (
        "one call of the engine with the input already in memory: ONNX Runtime's run and the Python call around it; "
        "not included: loading and normalising images, copying the input, reading the gates, choosing the class"
    )
    PROFILED_BY = "ONNX Runtime's profiler"

    def __init__(self, bundle: Bundle, variant: str, options: EngineOptions) -> None:
        """options: as in `EngineOptions`, but `library` is a path or None."""
        super().__init__(bundle, variant)
        self.options = options
        self.library = OpLibrary(options.library) if options.library is not None else None
        self._entries = self.library.session_entries(**options.kernel_settings()) if self.library is not None else {}
        self.isa = self._entries.get(ISA_ENTRY, self.library.isa) if self.library is not None else None
        self._session: Any = self._new_session()
        self._check_signature()

    def proof(self) -> Proof:
        """Run one sample of zeros under ONNX Runtime's profiler; InputError for a variant of standard operators."""
        expected = expected_nodes(self.manifest, self.variant)
        sample = np.zeros((1, *self.manifest.input["shape"]), np.float32)
        ran = {(row.name, row.op) for row in self.node_times([sample]) if row.provider == PROVIDER}
        return Proof(
            variant=self.variant,
            gated_nodes=expected,
            accelerated=tuple(name for name, op in expected.items() if (name, op) in ran),
            isa=self.isa,
            library_version=self.library.version if self.library else None,
            seen_in=f"ONNX Runtime {onnxruntime_version()}'s own profile",
        )

    def node_times(
        self, batches: Sequence[np.ndarray], skip: int = 0, masks: Optional[Mapping[str, np.ndarray]] = None
    ) -> List[NodeTime]:
        """Nodes in order of execution, from a separate profiled session.

        The profiler slows small nodes down by some microseconds each: read the result as shares, not as latency.
        """
        fixed = check_masks(masks, self.manifest, 1, self.variant)
        fixed.update(self._dial.feeds(self._budget))
        with tempfile.TemporaryDirectory(prefix="sanp-profile-") as folder:
            session = self._new_session(Path(folder) / "trace")
            for batch in batches:
                session.run(list(self.manifest.output_names), {self.manifest.input["name"]: batch, **fixed})
            return read_trace(Path(session.end_profiling()), skip)

    def steps_apart(self, x: np.ndarray, masks: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """The outputs that the variant carries for this."""
        layers = list(self.manifest.int8.get("layers", ())) if self.variant == REPLAY else []
        if not layers:
            return super().steps_apart(x, masks)
        values = self._session.run([steps_output(name) for name in layers], self._feeds(x, masks))
        return dict(zip(layers, values))

    def versions(self) -> Dict[str, str]:
        """ONNX Runtime alone."""
        return describe()

    def close(self) -> None:
        """Release the session."""
        super().close()
        self._session = None

    def _run(self, feeds: Dict[str, np.ndarray], n: int) -> List[np.ndarray]:
        values: List[np.ndarray] = self._session.run(self.outputs, feeds)
        return values

    def _bind(self, feeds: Dict[str, np.ndarray], outputs: Dict[str, np.ndarray]) -> Binding:
        """ONNX Runtime reads and writes the arrays themselves, so there is nothing to upload."""
        binding = self._session.io_binding()

        def add(more: Dict[str, np.ndarray]) -> None:
            for name, value in more.items():
                binding.bind_input(name, "cpu", 0, np.float32, value.shape, value.ctypes.data)

        add(feeds)
        rows = self._single_rows(feeds, outputs)
        for name, value in {**outputs, **rows}.items():
            binding.bind_output(name, "cpu", 0, np.float32, value.shape, value.ctypes.data)
        run = functools.partial(self._session.run_with_iobinding, binding)
        if not rows:
            return Binding(run, _nothing, _nothing, add)

        def run_and_repeat() -> None:
            run()
            for name, value in rows.items():
                outputs[name][:] = value

        return Binding(run_and_repeat, _nothing, _nothing, add)

    def _single_rows(self, feeds: Dict[str, np.ndarray], outputs: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """A row for each gate of which the model computes one for all samples; only a run tells which these are."""
        gates = [name for name in outputs if name.startswith(GATE_PREFIX)]
        values = self._session.run(gates, feeds) if gates else []
        return {name: value for name, value in zip(gates, values) if len(value) != len(outputs[name])}

    def _sizes(self, feeds: Mapping[str, np.ndarray]) -> Dict[str, Tuple[int, ...]]:
        """Those of the manifest; what depends on the size of the image, a run tells."""
        sizes = super()._sizes(feeds)
        unknown = [name for name in self.manifest.output_names if None in sizes[name]]
        values = self._session.run(unknown, dict(feeds)) if unknown else []
        return {**sizes, **{name: value.shape[1:] for name, value in zip(unknown, values)}}

    def _new_session(self, profile_prefix: Optional[Path] = None) -> Any:
        """Another session made exactly like this engine's, optionally with the profiler on."""
        path = self.bundle.variant(self.variant)
        if self.library is None:
            return open_session(path, self.options.threads, None, profile_prefix)
        return open_session(path, self.options.threads, self.library.path, profile_prefix, self._entries)

    def _check_signature(self) -> None:
        """The model has the inputs and outputs that the manifest promises; InputError otherwise."""
        session = self._session
        masks = [mask_input(name) for name in self.gated]
        found = {item.name for item in (*session.get_inputs(), *session.get_overridable_initializers())}
        found |= {item.name for item in session.get_outputs()}
        expected = (self.manifest.input["name"], *masks, *self._dial.inputs, *self.outputs)
        missing = [name for name in expected if name not in found]
        if missing:
            raise InputError(
                f"{self.bundle.variant(self.variant)}: has no {', '.join(missing)[:200]}, expected the inputs and "
                "outputs of its manifest; compile the bundle again"
            )


def _nothing() -> None:
    """What a processor does to take over new values, or to give back the memory that Python counts."""
