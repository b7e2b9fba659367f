"""The variants of a bundle, made from one exported model, with one shared copy of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx
import onnx_graphsurgeon as gs
from onnx.external_data_helper import uses_external_data

from sanp_export.graph.model_file import INLINE_KEY, UNGATED_MODEL, metadata_of, seal, to_graph, to_model
from sanp_export.graph.weight_files import SMALLEST, Layout, Place, moved, place
from sanp_export.passes.densify import densify
from sanp_export.passes.drop_learned_gates import drop_learned_gates
from sanp_export.passes.open_gates import open_gates
from sanp_runtime.contract import DENSE, GATE_PREFIX, GATED, MACS, OPEN, PARENT, REPLAY, WEIGHTS_FILE
from sanp_targets.errors import ExportError


def variants(model: onnx.ModelProto, parent: onnx.ModelProto | None = None) -> dict[str, onnx.ModelProto]:
    """`gated` (the model itself), `open` (gates computed, all open), `replay` (mask = scale) and `dense` (no gates).

    A model without gates is its own variant `dense` and has no other. parent: the exported network before channels were
    removed, which has no gates either; it becomes the variant `parent`. Raises ExportError for a model exported with
    gates="mask", which has no learned gates to compare with, and for one exported with inline=True.
    """
    more = {} if parent is None else {PARENT: _rewritten(parent, None)}
    if INLINE_KEY in metadata_of(model):
        raise ExportError(
            "the model was exported with --inline and has no operators left that our kernels could run, expected one "
            "with functions; export it again without --inline to compile it"
        )
    if metadata_of(model).get("sanp.gates") == UNGATED_MODEL:
        return {DENSE: _rewritten(model, None), **more}
    if metadata_of(model).get("sanp.gates") != "learned":
        raise ExportError(
            "the model was exported with --gates mask and has no learned gates; "
            "export it with --gates learned to compile it"
        )
    rewrites = {GATED: None, OPEN: open_gates, REPLAY: drop_learned_gates, DENSE: densify}
    return {**{name: _rewritten(model, rewrite) for name, rewrite in rewrites.items()}, **more}


def _rewritten(model: onnx.ModelProto, rewrite: Callable[[gs.Graph], int] | None) -> onnx.ModelProto:
    graph = to_graph(model)
    if rewrite is not None:
        rewrite(graph)
    # The runtime counts MACs from the gates itself; nodes that count would only be measured with the rest.
    unwanted = (GATE_PREFIX, MACS) if rewrite is densify else (MACS,)
    graph.outputs = [output for output in graph.outputs if not output.name.startswith(unwanted)]
    return to_model(graph, metadata_of(model))


def share_weights(models: Mapping[str, onnx.ModelProto]) -> tuple[dict[str, bytes], Layout]:
    """Serialised models that refer to one weights file, and what that file holds.

    Equal tensors (by content, or by the place that they stand in) are stored once, so that four variants take the space
    of one. The small constants and all masks stay in the models.
    """
    layout, files = Layout(), {}
    for name, model in models.items():
        light = onnx.ModelProto()
        light.CopyFrom(model)
        for tensor in light.graph.initializer:
            item = place(tensor) if uses_external_data(tensor) else onnx.numpy_helper.to_array(tensor).tobytes()
            size = item.length if isinstance(item, Place) else len(item)
            if size >= SMALLEST:
                moved(tensor, Place(WEIGHTS_FILE, layout.add(item), size))
        seal(light)
        files[name] = light.SerializeToString(deterministic=True)
    return files, layout
