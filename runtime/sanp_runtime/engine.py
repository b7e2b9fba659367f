"""Run one graph of a bundle: `engine = load("net.sanp"); result = engine(x)`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional, Tuple, Type

import numpy as np

from sanp_runtime import cost
from sanp_runtime.bundle import Bundle, PathLike, open_bundle
from sanp_runtime.cost import Layer
from sanp_runtime.feeds import MASK_PREFIX, check_images, check_masks
from sanp_runtime.library import OpLibrary
from sanp_runtime.onnx_session import open_session
from sanp_targets.errors import ConfigError, InputError

if TYPE_CHECKING:
    from sanp_runtime.proof import Proof

LOGITS = "logits"
GATE_PREFIX = "gate."
MAX_THREADS = 1024


@dataclass(frozen=True)
class Result:
    """logits float32 [N, classes]; gates: gated layer -> scale float32 [N, Co], 0 = closed (empty for dense)."""

    logits: np.ndarray
    gates: Dict[str, np.ndarray]
    layers: Tuple[Layer, ...] = field(repr=False, default=())

    @property
    def macs(self) -> np.ndarray:
        """Multiply-accumulates that each sample needed, float64 [N]; see `sanp_runtime.cost` for what is counted."""
        if not self.gates:
            return np.full(len(self.logits), float(cost.dense_macs(self.layers)))
        return cost.sample_macs(self.layers, self.gates)


class Engine:
    """A loaded graph; a context manager. Not for use by several threads at once."""

    def __init__(self, bundle: Bundle, graph: str, threads: int, library: Optional[Path], isa: Optional[str]) -> None:
        if type(threads) is not int or not 1 <= threads <= MAX_THREADS:
            raise ConfigError(f"threads is {threads!r}, expected an integer from 1 to {MAX_THREADS}")
        if isa is not None and library is None:
            raise ConfigError(
                f"instruction set {isa!r} was asked for without an operator library; pass library='bundle'"
            )
        self.bundle, self.manifest, self.graph, self.threads = bundle, bundle.manifest, graph, threads
        self.library = OpLibrary(library) if library is not None else None
        self._forced_isa = isa
        self._outputs = [LOGITS] + [GATE_PREFIX + name for name in self.gated]
        self.isa: Optional[str] = None
        self._session: Any = self.new_session()
        self._check_signature()

    @property
    def gated(self) -> Tuple[str, ...]:
        """Gated layers of this graph; none in the dense one."""
        return () if self.graph == "dense" else self.manifest.gated

    def __call__(self, x: np.ndarray, masks: Optional[Mapping[str, np.ndarray]] = None) -> Result:
        """Run a batch.

        x: float32 [N, C, H, W], finite, prepared as `manifest.input["normalisation"]` says. masks: gated layer ->
        float32 [1 or N, Co], 0 forces a channel off (in the replay graph the mask is the scale). Raises InputError for
        anything else.
        """
        feeds = self._feeds(x, masks)
        values = self._open().run(self._outputs, feeds)
        # A static gate has one row for all samples; callers see one row per sample whatever decides.
        shapes = {name: (len(x), self.manifest.layer(name).c_out) for name in self.gated}
        gates = {name: np.broadcast_to(values[i], shapes[name]) for i, name in enumerate(self.gated, start=1)}
        return Result(values[0], gates, self.manifest.layers)

    def bind(self, x: np.ndarray, masks: Optional[Mapping[str, np.ndarray]] = None) -> Callable[[], np.ndarray]:
        """A function that runs this batch and returns its logits, with as little Python in between as there can be.

        For timing: inputs are checked and bound here, only the logits are fetched, and every call fills and returns the
        same array [N, classes]; copy it to keep it. `x` is copied here, so later changes to it have no effect.
        """
        feeds = {name: value.copy() for name, value in self._feeds(x, masks).items()}
        logits = np.empty((x.shape[0], self.manifest.classes), np.float32)
        session = self._open()
        binding = session.io_binding()
        for name, value in feeds.items():
            binding.bind_input(name, "cpu", 0, np.float32, value.shape, value.ctypes.data)
        binding.bind_output(LOGITS, "cpu", 0, np.float32, logits.shape, logits.ctypes.data)

        def run(keep_alive: Any = feeds) -> np.ndarray:
            session.run_with_iobinding(binding)
            return logits

        return run

    def proof(self) -> "Proof":
        """Run once under ONNX Runtime's profiler and tell which gated layers ran in our kernels."""
        from sanp_runtime.proof import prove

        return prove(self)

    def new_session(self, profile_prefix: Optional[Path] = None) -> Any:
        """Another ONNX Runtime session made exactly like this engine's, optionally with the profiler on."""
        path = self.bundle.graph(self.graph)
        if self.library is None:
            return open_session(path, self.threads, None, profile_prefix)
        with self.library.forced(self._forced_isa):
            self.isa = self.library.isa
            return open_session(path, self.threads, self.library.path, profile_prefix)

    def close(self) -> None:
        """Release the session; later calls raise ConfigError."""
        self._session = None

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _open(self) -> Any:
        if self._session is None:
            raise ConfigError("the engine has been closed, so it cannot run; load the bundle again")
        return self._session

    def _feeds(self, x: np.ndarray, masks: Optional[Mapping[str, np.ndarray]]) -> Dict[str, np.ndarray]:
        spec = self.manifest.input
        images = check_images(x, spec["shape"])
        return {spec["name"]: images, **check_masks(masks, self.manifest, len(images), self.graph != "dense")}

    def _check_signature(self) -> None:
        """The graph has the inputs and outputs that the manifest promises; InputError otherwise."""
        session = self._session
        masks = [MASK_PREFIX + name for name in self.gated]
        found = {item.name for item in (*session.get_inputs(), *session.get_overridable_initializers())}
        found |= {item.name for item in session.get_outputs()}
        missing = [name for name in (self.manifest.input["name"], *masks, *self._outputs) if name not in found]
        if missing:
            raise InputError(
                f"{self.bundle.graph(self.graph)}: has no {', '.join(missing)[:200]}, expected the inputs and outputs "
                "of its manifest; compile the bundle again"
            )


def load(
    path: PathLike,
    *,
    graph: str = "model",
    threads: int = 1,
    library: Optional[PathLike] = "bundle",
    isa: Optional[str] = None,
    verify: bool = True,
) -> Engine:
    """Load one graph of a bundle.

    graph: "model" (learned gates), "open" (every gate open), "replay" (masks are the scales) or "dense" (no gates).
    library: "bundle" for the operator library inside, None for plain ONNX Runtime (same logits, slow), or a path. isa:
    force an instruction set of the library. verify: check the hash of every file. Raises InputError for a damaged
    bundle, TargetError if the library or ONNX Runtime cannot be used here, ConfigError for a bad argument.
    """
    bundle = open_bundle(path, verify)
    return load_bundle(bundle, graph=graph, threads=threads, library=library, isa=isa)


def load_bundle(
    bundle: Bundle,
    *,
    graph: str = "model",
    threads: int = 1,
    library: Optional[PathLike] = "bundle",
    isa: Optional[str] = None,
) -> Engine:
    """`load` for a bundle that is already open."""
    if graph not in bundle.manifest.graphs:
        raise InputError(f"there is no graph {graph!r}, expected one of {sorted(bundle.manifest.graphs)}")
    where: Optional[Path] = None
    if library == "bundle":
        # The dense graph has no gated node: it runs in plain ONNX Runtime, as the baseline should.
        where = None if graph == "dense" else bundle.library()
    elif library is not None:
        where = Path(library)
    return Engine(bundle, graph, threads, where, isa if graph != "dense" else None)
