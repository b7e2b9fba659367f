"""What every backend offers: a loaded variant of a bundle, its checked calls, its results."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type

import numpy as np

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import DENSE, LOGITS, gate_output
from sanp_runtime.engines.feeds import check_images, check_masks
from sanp_runtime.network import macs as cost
from sanp_runtime.network.layers import Layer
from sanp_targets.errors import ConfigError

if TYPE_CHECKING:
    from sanp_runtime.engines.proof import Proof
    from sanp_runtime.measure.node_times import NodeTime
    from sanp_runtime.measure.timing import Measurement


@dataclass(frozen=True)
class Result:
    """logits float32 [N, classes]; gates: gated layer -> scale float32 [N, Co], 0 = closed (empty for dense)."""

    logits: np.ndarray
    gates: Dict[str, np.ndarray]
    layers: Tuple[Layer, ...] = field(repr=False, default=())

    @property
    def macs(self) -> np.ndarray:
        """Multiply-accumulates that each sample needed, float64 [N]; `sanp_runtime.network.macs` says how."""
        if not self.gates:
            return np.full(len(self.logits), float(cost.dense_macs(self.layers)))
        return cost.sample_macs(self.layers, self.gates)


class Engine(abc.ABC):
    """A loaded variant; a context manager. Not for use by several threads at once.

    The checks are here, so that every backend refuses the same mistakes in the same words; a backend fills the methods
    marked as abstract. `INCLUDES` says what a timed call contains, `PROFILED_BY` where times per node come from.
    """

    INCLUDES = ""
    PROFILED_BY = ""

    def __init__(self, bundle: Bundle, variant: str) -> None:
        self.bundle, self.manifest, self.variant = bundle, bundle.manifest, variant
        self._closed = False

    @property
    def gated(self) -> Tuple[str, ...]:
        """Gated layers of this variant; none in the dense one."""
        return () if self.variant == DENSE else self.manifest.gated

    @property
    def outputs(self) -> List[str]:
        """Outputs that a call fetches: the logits, then one gate per gated layer."""
        return [LOGITS] + [gate_output(name) for name in self.gated]

    def __call__(self, x: np.ndarray, masks: Optional[Mapping[str, np.ndarray]] = None) -> Result:
        """Run a batch.

        x: float32 [N, C, H, W], finite, prepared as `manifest.input["normalisation"]` says. masks: gated layer ->
        float32 [1 or N, Co], 0 forces a channel off (in the replay variant the mask is the scale). Raises
        InputError for anything else.
        """
        feeds = self._feeds(x, masks)
        values = self._run(feeds, len(x))
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
        return self._bind(feeds, np.empty((len(x), self.manifest.classes), np.float32))

    @abc.abstractmethod
    def proof(self) -> "Proof":
        """Which gated layers run in our kernels, from the backend's own account of what it executes."""

    @abc.abstractmethod
    def node_times(self, batches: Sequence[np.ndarray], skip: int = 0) -> "List[NodeTime]":
        """Run every batch once under the backend's profiler; the first `skip` batches are run but not counted."""

    @classmethod
    def measure_together(
        cls, engines: "Mapping[str, Engine]", batches: Sequence[np.ndarray], duration_s: float
    ) -> "Measurement":
        """Time engines of one backend side by side on the same batches; see `sanp_runtime.measure.timing.measure`."""
        from sanp_runtime.measure.timing import measure

        return measure({name: [engine.bind(part) for part in batches] for name, engine in engines.items()}, duration_s)

    @abc.abstractmethod
    def versions(self) -> Dict[str, str]:
        """Versions of what executes the network."""

    def accelerator(self) -> Dict[str, Any]:
        """The GPU and its software, part of the fingerprint of a measurement; empty on a processor."""
        return {}

    @abc.abstractmethod
    def _run(self, feeds: Dict[str, np.ndarray], n: int) -> List[np.ndarray]:
        """The values of `outputs` for checked feeds of n samples."""

    @abc.abstractmethod
    def _bind(self, feeds: Dict[str, np.ndarray], logits: np.ndarray) -> Callable[[], np.ndarray]:
        """A function that runs these feeds, which it may keep, and fills `logits`."""

    def close(self) -> None:
        """Release the backend's resources; later calls raise ConfigError."""
        self._closed = True

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _feeds(self, x: np.ndarray, masks: Optional[Mapping[str, np.ndarray]]) -> Dict[str, np.ndarray]:
        if self._closed:
            raise ConfigError("the engine has been closed, so it cannot run; load the bundle again")
        spec = self.manifest.input
        images = check_images(x, spec["shape"])
        return {spec["name"]: images, **check_masks(masks, self.manifest, len(images), self.variant != DENSE)}
