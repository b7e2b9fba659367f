"""What every backend offers: a loaded variant of a bundle, its checked calls, its results."""

from __future__ import annotations

import abc
import weakref
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type

import numpy as np

from sanp_runtime.bundle.budgets import TRAINED
from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import LOGITS, UNGATED, gate_output
from sanp_runtime.engines.bound_call import Binding, BoundCall
from sanp_runtime.engines.dial import Dial
from sanp_runtime.engines.feeds import check_images, check_masks, check_names, output_arrays
from sanp_runtime.engines.proof import Proof
from sanp_runtime.measure.node_times import NodeTime
from sanp_runtime.measure.timing import Measurement, measure
from sanp_runtime.network import macs as cost
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.outputs import rows_of
from sanp_runtime.network.sizes import Size
from sanp_targets.errors import ConfigError, InputError
from sanp_targets.sensors import Reading, read_sensors


@dataclass(frozen=True)
class Result:
    """outputs: name -> float32 [N, ...]; gates: gated layer -> scale float32 [N, Co], 0 = closed (empty for dense)."""

    outputs: Dict[str, np.ndarray]
    gates: Dict[str, np.ndarray]
    layers: Optional[Tuple[Layer, ...]] = field(repr=False, default=())

    def __getitem__(self, name: str) -> np.ndarray:
        """An output of the network, float32 [N, ...]; InputError for a name that it does not have."""
        if name not in self.outputs:
            raise InputError(
                f"the network has no output {name!r}, expected one of {', '.join(self.outputs)}; `manifest.outputs` "
                "has their shapes"
            )
        return self.outputs[name]

    def __len__(self) -> int:
        return len(next(iter(self.outputs.values())))

    @property
    def logits(self) -> np.ndarray:
        """The output `logits`, float32 [N, classes]; InputError for a network without."""
        return self[LOGITS]

    def check_finite(self) -> "Result":
        """This result; InputError naming the first output that is not finite, and its samples."""
        for name, value in self.outputs.items():
            bad = np.flatnonzero(~np.isfinite(rows_of(value)).all(axis=1))
            if bad.size:
                shown = ", ".join(map(str, bad[:10])) + (" and others" if bad.size > 10 else "")
                raise InputError(
                    f"the output {name} of {bad.size} of {len(value)} samples is NaN or infinite (sample {shown}), "
                    "expected finite numbers; normalise the input as the manifest says, and if the samples of the "
                    "bundle do this too, compile it again from a network with finite answers"
                )
        return self

    def classes(self) -> np.ndarray:
        """The class of each sample, int64 [N]; InputError for a network without logits [N, classes], or not finite."""
        if self.logits.ndim != 2:
            raise InputError(
                f"the logits have shape {list(self.logits.shape)}, expected [N, classes]; read them as "
                f"result[{LOGITS!r}]"
            )
        return self.check_finite().logits.argmax(axis=1)

    @property
    def macs(self) -> np.ndarray:
        """Multiply-accumulates that each sample needed, float64 [N]; `sanp_runtime.network.macs` says how.

        InputError for images of another size than that of the layer table.
        """
        if self.layers is None:
            raise InputError(
                "the layer table is for images of another size, so the cost of these is not known; run images of the "
                "size in the manifest, or export it for a list of sizes (--sizes)"
            )
        if not self.gates:
            return np.full(len(self), float(cost.dense_macs(self.layers)))
        return cost.sample_macs(self.layers, self.gates)


class Engine(abc.ABC):
    """A loaded variant; a context manager. For one thread at a time.

    The checks are here, so that every backend refuses the same mistakes in the same words; a backend fills the methods
    marked as abstract. `INCLUDES` says what a timed call contains, `PROFILED_BY` where times per node come from,
    `BINDS` whether `bind` works: not where every call starts a process.
    """

    INCLUDES = ""
    PROFILED_BY = ""
    BINDS = True

    def __init__(self, bundle: Bundle, variant: str) -> None:
        self.bundle, self.manifest, self.variant = bundle, bundle.manifest, variant
        self._dial = Dial(self.manifest, variant)
        own = (self.manifest.input["shape"][1], self.manifest.input["shape"][2])
        self._tables = {table.size: table for table in self.manifest.sizes_of(variant)}
        self._layers_at: Dict[Size, Tuple[Layer, ...]] = {own: self.layers}
        self._layers_at.update({size: table.layers_of(self.layers) for size, table in self._tables.items()})
        self._budget = TRAINED
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
        """Outputs that a call fetches: those of the network, then one gate per gated layer."""
        return [*self.manifest.output_names, *(gate_output(name) for name in self.gated)]

    @property
    def budget(self) -> float:
        """What a sample may cost where a call or `bind` says nothing else: a share of the network as trained, 1.0.

        Setting one that `manifest.budgets` does not have raises InputError.
        """
        return self._budget

    @budget.setter
    def budget(self, value: float) -> None:
        self._budget = self._dial.check(value)

    def __call__(
        self,
        x: np.ndarray,
        masks: Optional[Mapping[str, np.ndarray]] = None,
        budget: Optional[float] = None,
    ) -> Result:
        """Run a batch.

        x: float32 [N, C, H, W], finite, prepared as `manifest.input["normalisation"]` says. masks: gated layer ->
        float32 [1 or N, Co], 0 forces a channel off (in the replay variant the mask is the scale). budget: one of
        `manifest.budgets`, what a sample may cost as a share of the network as trained; None: that of the engine.
        Raises InputError for anything else.
        """
        chosen = self._budget if budget is None else self._dial.check(budget)
        feeds = {**self._feeds(x, masks), **self._dial.feeds(chosen)}
        values = self._run(feeds, len(x))
        # A static gate has one row for all samples; callers see one row per sample whatever decides.
        shapes = {name: (len(x), self.manifest.layer(name).c_out) for name in self.gated}
        names = self.manifest.output_names
        gates = {name: np.broadcast_to(value, shapes[name]) for name, value in zip(self.gated, values[len(names) :])}
        return Result(dict(zip(names, values)), gates, self._layers_at.get((x.shape[2], x.shape[3])))

    def bind(
        self,
        x: np.ndarray,
        masks: Optional[Mapping[str, np.ndarray]] = None,
        outputs: Optional[Sequence[str]] = None,
        out: Optional[Mapping[str, np.ndarray]] = None,
        budget: Optional[float] = None,
    ) -> BoundCall:
        """Check and bind a batch once, for calls with as little Python in between as there can be.

        x, masks: as in a call; both are copied. outputs: what to compute, names of `Engine.outputs` ("logits",
        "gate.<layer>"), those of the network by default; the fewer, the less is copied. out: arrays to fill, by output
        name: float32, C-contiguous, writable, of the shape [N, ...] of the output, gates [N, Co]; arrays are made for
        outputs without one. budget: as in a call; `BoundCall.budget` changes it later. Raises InputError for anything
        else, ConfigError if the backend cannot bind.
        """
        feeds = {name: value.copy() for name, value in self._feeds(x, masks).items()}
        names = check_names(self.manifest.output_names if outputs is None else outputs, self.outputs)
        shapes = {name: (len(x), *size) for name, size in self._sizes(feeds).items() if name in names}
        shapes = {name: shapes[name] for name in names}
        arrays = output_arrays(shapes, out, list(feeds.values()))
        call = BoundCall(feeds, arrays, self._bind(feeds, arrays), self._feeds, self._dial)
        chosen = self._budget if budget is None else budget
        if chosen != TRAINED:
            call.budget = chosen
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
    def node_times(
        self, batches: Sequence[np.ndarray], skip: int = 0, masks: Optional[Mapping[str, np.ndarray]] = None
    ) -> List[NodeTime]:
        """Run every batch once under the backend's profiler; the first `skip` batches are run but not counted.

        masks: as in a call, the same for all batches.
        """

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

    @classmethod
    def gpu_governor(cls) -> Dict[str, Dict[str, Any]]:
        """What decides about the clock of each GPU that is used; empty on a processor."""
        return {}

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

    def _sizes(self, feeds: Mapping[str, np.ndarray]) -> Dict[str, Tuple[int, ...]]:
        """Name of an output -> its shape for a sample of these feeds."""
        sizes: Dict[str, Tuple[int, ...]] = {gate_output(n): (self.manifest.layer(n).c_out,) for n in self.gated}
        image = feeds[self.manifest.input["name"]].shape
        table = self._tables.get((image[2], image[3]))
        for output in self.manifest.outputs:
            own = output.shape if table is None else table.outputs[output.name]
            sizes[output.name] = own  # type: ignore[assignment]
        return sizes

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
        images = check_images(x, spec["shape"], self.manifest.any_size, self._tables)
        return {spec["name"]: images, **check_masks(masks, self.manifest, len(images), self.variant)}
