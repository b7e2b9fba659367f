"""An exported model without functions, for runtimes that know standard operators alone."""

from __future__ import annotations

import onnx
from onnx import helper, inliner

from sanp_export.graph.model_file import INLINE_KEY, metadata_of, seal
from sanp_export.graph.weight_files import check
from sanp_runtime.contract import DOMAIN


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every operator of ours is written out by its function; inputs, outputs and values stay.

    It cannot be compiled into a bundle: what the kernels would compute can no longer be told from the rest.
    """
    flat: onnx.ModelProto = inliner.inline_local_functions(model)
    kept = [item for item in flat.opset_import if item.domain != DOMAIN]
    # Shapes in between are for readers who cannot infer them. Ours name the batch in several ways ("N", "active_N"),
    # and tract takes different names for different numbers.
    del flat.graph.value_info[:]
    del flat.opset_import[:]
    flat.opset_import.extend(kept)
    helper.set_model_props(flat, {**metadata_of(model), INLINE_KEY: "yes"})
    seal(flat)
    check(flat)
    return flat
