"""Signal over noise of every int8 layer, with the gates of float32 so that only rounding differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from sanp.pipeline.compile.plain_run import plain_run
from sanp_export.graph import model_file
from sanp_export.graph.patterns import QLINEAR_Y_SCALE, layer_of
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.contract import GATED_CONV, GATED_QLINEAR_CONV, mask_input

_SAMPLES = 32


def signal_to_noise(
    replay: onnx.ModelProto, bytes_: onnx.ModelProto, layers: Sequence[str], answers: Reference, library: Path
) -> dict[str, float | None]:
    """Layer -> decibels of its output over what rounding in it and before it adds; None where nothing is added.

    replay, bytes_: the replay variant as float32 and with int8 layers.
    """
    floats, rounded = model_file.to_graph(replay), model_file.to_graph(bytes_)
    real = {layer_of(node): node.outputs[0].name for node in floats.nodes if node.op == GATED_CONV}
    convs = {layer_of(node): node for node in rounded.nodes if node.op == GATED_QLINEAR_CONV}
    some = answers.take(range(min(len(answers), _SAMPLES)))
    expected = _outputs(floats, replay, [real[name] for name in layers], some, library)
    found = _outputs(rounded, bytes_, [convs[name].outputs[0].name for name in layers], some, library)
    signal, noise = dict.fromkeys(layers, 0.0), dict.fromkeys(layers, 0.0)
    for row, other in zip(expected, found):
        for name, value, code in zip(layers, row, other):
            size, zero = (item.values.item() for item in convs[name].inputs[QLINEAR_Y_SCALE:])
            signal[name] += float(np.square(value, dtype=np.float64).sum())
            noise[name] += float(np.square(value - (code.astype(np.float64) - zero) * size).sum())
    return {
        name: float(10 * np.log10(signal[name] / noise[name])) if signal[name] and noise[name] else None
        for name in layers
    }


def _outputs(
    graph: gs.Graph, model: onnx.ModelProto, names: Sequence[str], answers: Reference, library: Path
) -> Iterator[list[np.ndarray]]:
    """Tensors inside a replay variant, batch by batch."""
    tensors = graph.tensors()
    graph.outputs = [tensors[name] for name in names]
    inside = model_file.to_model(graph, model_file.metadata_of(model))
    # What is behind the last of these tensors is not in the graph any more, nor are its masks.
    given = {value.name for value in inside.graph.input}
    masks = {name: scale for name, scale in answers.scales.items() if mask_input(name) in given}
    for _, values in plain_run(inside, names, answers.x, masks, library):
        yield values
