"""Ranges of the feature maps: as they were learned, or on real samples by ONNX Runtime's own calibrators."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from sanp_export.graph.byte_steps import Step, ranged_tensors, step_of
from sanp_export.graph.model_file import ranges_of, to_graph
from sanp_export.graph.patterns import RESIDUAL, X, gated_convs, layer_of
from sanp_runtime.contract import GATED_CONV, INPUT
from sanp_targets.errors import ConfigError

# The calibrators keep every feature map of a round in memory.
_ROUND = 8
# Percentiles are one-sided behind a ReLU. ONNX Runtime has an entropy method, which is not offered: on gated networks
# it clips too much, also where it sees open channels only and as many steps as unsigned bytes have (docs/int8.md).
_OPTIONS: dict[str, dict[str, Any]] = {
    "minmax": {},
    "percentile": {"percentile": 99.99, "symmetric": False},
}
METHODS = tuple(_OPTIONS)
TRAINED = "trained"
_AUTO = "auto"


class Samples:
    """Images one by one, as ONNX Runtime's calibrators and its quantiser ask for them."""

    def __init__(self, x: np.ndarray) -> None:
        self._left = iter(x)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next image as a batch of one, None after the last."""
        image = next(self._left, None)
        return None if image is None else {INPUT: image[None]}


def method_for(asked: str, model: onnx.ModelProto) -> str:
    """One of METHODS or TRAINED for a setting; ConfigError for learned ranges that the model does not have."""
    learned = bool(ranges_of(model))
    if asked == _AUTO:
        return TRAINED if learned else METHODS[0]
    if asked == TRAINED and not learned:
        raise ConfigError(
            "--calibration trained was asked for and the model has no learned ranges, expected a network of "
            "`sanp train --int8`; train so, or leave --calibration out"
        )
    return asked


def learned_steps(model: onnx.ModelProto, x: np.ndarray) -> dict[str, Step]:
    """Like `steps_of`, from the ranges that the network was trained with; those of other tensors are measured."""
    known = _learned(to_graph(model), ranges_of(model))
    if all(tensor.name in known for tensor in ranged_tensors(to_graph(model))):
        return known
    return {**steps_of(model, x, METHODS[0]), **known}


def _learned(graph: gs.Graph, ranges: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Step]:
    steps = {}
    for conv in gated_convs(graph):
        tensors = {"x": conv.inputs[X], "residual": conv.inputs[RESIDUAL], "y": conv.outputs[0]}
        for role, limits in ranges.get(layer_of(conv), {}).items():
            steps[tensors[role].name] = step_of(*limits)
    return steps


def calibration_method(name: str) -> Any:
    """ONNX Runtime's constant for one of METHODS."""
    from onnxruntime.quantization import CalibrationMethod

    names = {"minmax": "MinMax", "percentile": "Percentile"}
    return CalibrationMethod[names[name]]


def steps_of(model: onnx.ModelProto, x: np.ndarray, method: str) -> dict[str, Step]:
    """Step of every feature map that a gated convolution reads or writes, by name of the tensor.

    x: float32 [n, C, H, W]. Gates decide as in the model: a saliency multiplies its feature map, so ranges depend on
    it. Raises ConfigError for a feature map that is not finite.
    """
    wanted = [tensor.name for tensor in ranged_tensors(to_graph(model))]
    with quiet(), tempfile.TemporaryDirectory() as folder:
        found = _collect(model, x, method, Path(folder))
    steps = {}
    for name in wanted:
        low, high = (float(np.asarray(value).item()) for value in found[name].range_value)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ConfigError(
                f"the feature map {name} reaches {low:g} to {high:g} on the samples, expected finite values; export a "
                "network with finite answers, or compile without --int8"
            )
        steps[name] = step_of(low, high)
    return steps


def _collect(model: onnx.ModelProto, x: np.ndarray, method: str, folder: Path) -> Any:
    from onnxruntime.quantization.calibrate import create_calibrator

    path = folder / "model.onnx"
    path.write_bytes(without_masks(model).SerializeToString())
    calibrator = create_calibrator(
        path,
        [GATED_CONV],
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=calibration_method(method),
        extra_options=_OPTIONS[method],
    )
    if method != METHODS[0]:
        calibrator.collector = _open_channels(calibrator)
    for at in range(0, len(x), _ROUND):
        calibrator.collect_data(Samples(x[at : at + _ROUND]))
    return calibrator.compute_data()


def _open_channels(calibrator: Any) -> Any:
    """What collects a histogram, of channels that are open: the zeros of closed ones would outweigh everything else."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    class Collector(HistogramCollector):
        def collect(self, name_to_arr: dict[str, list[np.ndarray]]) -> None:
            super().collect({name: np.concatenate([_opened(item) for item in v]) for name, v in name_to_arr.items()})

    names = ("method", "symmetric", "num_bins", "num_quantized_bins", "percentile", "scenario")
    return Collector(**{name: getattr(calibrator, name) for name in names})


def _opened(values: np.ndarray) -> np.ndarray:
    """The values of all channels of a feature map [N, C, ...] that are not zero everywhere, flat."""
    rows = values.reshape(values.shape[0] * values.shape[1], -1)
    return rows[rows.any(axis=1)].ravel()


def without_masks(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its masks, all ones, as plain constants, as ONNX Runtime's tools want them."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    constants = {item.name for item in bare.graph.initializer}
    true_inputs = [value for value in bare.graph.input if value.name not in constants]
    del bare.graph.input[:]
    bare.graph.input.extend(true_inputs)
    return bare


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """ONNX Runtime's tools print what they do, and advise a pre-processing that has nothing to do here."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(previous)
