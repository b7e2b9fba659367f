"""`--blocks`: inverted residual blocks as one node each, in the variants that run in our kernels."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from sanp.pipeline.compile.job import Job
from sanp_export.graph.model_file import metadata_of, to_graph, to_model
from sanp_export.passes.fuse_blocks import blocks_worth_it, fuse_blocks
from sanp_runtime.contract import BLOCK_VARIANTS, GATED

FUSED = "fused"


def with_blocks(
    job: Job, models: Mapping[str, onnx.ModelProto]
) -> tuple[dict[str, onnx.ModelProto], dict[str, list[str]]]:
    """The variants with their blocks fused if the settings say so, and `build["blocks"]` of the manifest.

    The network as trained decides which: without learned gates, as in `replay`, more could be fused, and the variants
    would no longer show what its kernels cost.
    """
    graph = to_graph(models[GATED])
    blocks = blocks_worth_it(graph) if job.settings.onnxruntime.blocks == FUSED else {}
    if not blocks:
        return dict(models), {}
    fused = {}
    for name in BLOCK_VARIANTS:
        graph = to_graph(models[name])
        fuse_blocks(graph, blocks)
        fused[name] = to_model(graph, metadata_of(models[name]))
    return {**models, **fused}, {node: list(layers) for node, layers in blocks.items()}
