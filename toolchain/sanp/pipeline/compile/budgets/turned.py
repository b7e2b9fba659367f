"""The gated variant in ONNX Runtime with thresholds of the caller's choice: outputs, scales and MACs."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import onnx

from sanp_runtime.contract import INPUT, gate_output, threshold_input
from sanp_runtime.engines.onnxruntime.session import open_session
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import sample_macs

_BATCH = 64

Thresholds = Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """outputs: name -> float32 [n, ...]; scales: gated layer -> float32 [n, Co], 0 = closed; macs: float64 [n]."""

    outputs: dict[str, np.ndarray]
    scales: dict[str, np.ndarray]
    macs: np.ndarray

    @property
    def cost(self) -> float:
        """MACs of an average sample."""
        return float(self.macs.mean())


class TurnedNetwork:
    """A session of the gated variant with its dial; a context manager."""

    def __init__(
        self, model: onnx.ModelProto, outputs: Sequence[str], layers: Sequence[Layer], library: Path | None
    ) -> None:
        """model: with the inputs `threshold.<layer>`; outputs: those of the network; library: whose kernels run."""
        self._outputs, self._layers = list(outputs), layers
        self._gated = [layer.name for layer in layers if layer.gated]
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "gated.onnx"
        path.write_bytes(model.SerializeToString())
        self._session = open_session(path, threads=1, library=library)

    def __enter__(self) -> TurnedNetwork:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._session
        self._folder.cleanup()

    def run(self, x: np.ndarray, thresholds: Thresholds) -> Answer:
        """The answer for x [n, C, H, W]; thresholds of layers that are not named are those of the graph."""
        turned = _feeds(thresholds)
        names = [*self._outputs, *map(gate_output, self._gated)]
        parts = []
        for at in range(0, len(x), _BATCH):
            images = x[at : at + _BATCH]
            values = self._session.run(names, {INPUT: images, **turned})
            # A static gate has one row for all samples.
            parts.append([np.broadcast_to(value, (len(images), *value.shape[1:])) for value in values])
        whole = dict(zip(names, map(np.concatenate, zip(*parts))))
        scales = {name: whole[gate_output(name)] for name in self._gated}
        return Answer({name: whole[name] for name in self._outputs}, scales, sample_macs(self._layers, scales))

    def calls(self, x: np.ndarray, thresholds: Thresholds) -> list[Callable[[], object]]:
        """A function for each sample of x that runs it alone and fetches the outputs of the network."""
        turned = _feeds(thresholds)
        feeds = [{INPUT: np.ascontiguousarray(x[at : at + 1]), **turned} for at in range(len(x))]
        return [functools.partial(self._session.run, self._outputs, row) for row in feeds]


def _feeds(thresholds: Thresholds) -> dict[str, np.ndarray]:
    return {threshold_input(name): np.array([value], np.float32) for name, value in thresholds.items()}
