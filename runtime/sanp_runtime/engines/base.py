"""What every backend offers: a loaded variant of a bundle, its checked calls, its results."""

from __future__ import annotations

import abc
import weakref
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type

import numpy as np

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import LOGITS, UNGATED, gate_output
from sanp_runtime.engines.bound_call import Binding, BoundCall
from sanp_runtime.engines.feeds import check_images, check_masks, check_names, output_arrays
from sanp_runtime.engines.proof import Proof
from sanp_runtime.measure.node_times import NodeTime
from sanp_runtime.measure.timing import Measurement, measure
from sanp_runtime.network import macs as cost
from sanp_runtime.network.layers import Layer
from sanp_targets.errors import ConfigError, InputError
from sanp_targets.sensors import Reading, read_sensors


@dataclass(frozen=True)
class Result:
    """logits float32 [N, classes]; gates: gated layer -> scale float32 [N, Co], 0 = closed (empty for dense)."""

    logits: np.ndarray
    gates: Dict[str, np.ndarray]
    layers: Tuple[Layer, ...] = field(repr=False, default=())

    def classes(self) -> np.ndarray:
        """The class of each sample, int64 [N]; InputError naming the samples whose logits are not finite."""
        bad = np.flatnonzero(~np.isfinite(self.logits).all(axis=1))
        if bad.size:
            shown = ", ".join(map(str, bad[:10])) + (" and others" if bad.size > 10 else "")
            raise InputError(
                f"the logits of {bad.size} of {len(self.logits)} samples are NaN or infinite (sample {shown}), so they "
                "have no class, expected finite ones; normalise the input as the manifest says, and if the samples of "
                "the bundle do this too, compile it again from a network with finite answers"
            )
        return self.logits.argmax(axis=1)

    @property
    def macs(self) -> np.ndarray:
        """Multiply-accumulates that each sample needed, float64 [N]; `sanp_runtime.network.macs` says how."""
        if not self.gates:
            return np.full(len(self.logits), float(cost.dense_macs(self.layers)))
        return cost.sample_macs(self.layers, self.gates)


class Engine(abc.ABC):
    """A loaded variant; a context manager. For one thread at a time.

    The checks are here, so that every backend refuses the same mistakes in the same words; a backend fills the methods
    marked as abstract. `INCLUDES` says what a timed call contains, `PROFILED_BY` where times per node come from.
    """

    INCLUDES = ""
    PROFILED_BY = ""

    def __init__(self, bundle: Bundle, variant: str) -> None:
        self.bundle, self.manifest, self.variant = bundle, bundle.manifest, variant
        self._closed = False
        self._calls: "weakref.WeakSet[BoundCall]" = weakref.WeakSet()

    @property
    def gated(self) -> Tuple[str, ...]:
        """Gated layers of this variant; none in those of standard operators."""
        return () if self.variant in UNGATED else self.manifest.gated

    @property
    def layers(self) -> Tuple[Layer, ...]:
        """The layer table of this variant."""
        return self.manifest.layers_of(self.variant)

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
        return Result(values[0], gates, self.layers)

    def bind(
        self,
        x: np.ndarray,
        masks: Optional[Mapping[str, np.ndarray]] = None,
        outputs: Sequence[str] = (LOGITS,),
        out: Optional[Mapping[str, np.ndarray]] = None,
    ) -> BoundCall:
        """Check and bind a batch once, for calls with as little Python in between as there can be.

        x, masks: as in a call; both are copied. outputs: what to compute, names of `outputs` ("logits",
        "gate.<layer>"); the fewer, the less is copied. out: arrays to fill, by output name: float32, C-contiguous,
        writable, logits [N, classes], gates [N, Co]; arrays are made for outputs without one. Raises InputError for
        anything else, ConfigError if the backend cannot bind.
        """
        feeds = {name: value.copy() for name, value in self._feeds(x, masks).items()}
        names = check_names(outputs, self.outputs)
        widths = {gate_output(name): self.manifest.layer(name).c_out for name in self.gated}
        shapes = {name: (len(x), widths.get(name, self.manifest.classes)) for name in names}
        arrays = output_arrays(shapes, out, list(feeds.values()))
        call = BoundCall(feeds, arrays, self._bind(feeds, arrays), self._feeds)
        self._calls.add(call)
        return call

    def steps_apart(self, x: np.ndarray, masks: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Layer of bytes -> int32 [N]: the largest distance of a byte of each sample from standard operators.

        Those read the same bytes, so that distances do not add up. x, masks: as in a call of the variant `replay` of a
        int8 bundle; ConfigError for any other.
        """
        raise ConfigError(
            f"variant {self.variant!r} of {self.manifest.name} does not compare its bytes, expected 'replay' of a "
            "bundle that was compiled with --int8"
        )

    @abc.abstractmethod
    def proof(self) -> Proof:
        """Which gated layers run in our kernels, from the backend's own account of what it executes."""

    @abc.abstractmethod
    def node_times(self, batches: Sequence[np.ndarray], skip: int = 0) -> List[NodeTime]:
        """Run every batch once under the backend's profiler; the first `skip` batches are run but not counted."""

    @classmethod
    def measure_together(
        cls, engines: "Mapping[str, Engine]", batches: Sequence[np.ndarray], duration_s: float
    ) -> Measurement:
        """Time engines of one backend side by side on the same batches, by bound calls; see `measure.timing`."""
        return measure(
            {name: [engine.bind(part) for part in batches] for name, engine in engines.items()},
            duration_s,
            sensors=cls.read_sensors,
        )

    @classmethod
    def read_sensors(cls) -> Reading:
        """What slows the processor down; a backend on a GPU looks at that too."""
        return read_sensors()

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
    def _bind(self, feeds: Dict[str, np.ndarray], outputs: Dict[str, np.ndarray]) -> Binding:
        """Run checked feeds into these outputs; all arrays stay alive and in place as long as the binding."""

    def close(self) -> None:
        """Release the backend's resources; later calls raise ConfigError."""
        self._closed = True
        for call in self._calls:
            call.close()

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
        return {spec["name"]: images, **check_masks(masks, self.manifest, len(images), self.variant)}
