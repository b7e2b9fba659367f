"""`--blocks`: inverted residual blocks as one node each, in the variants that run in our kernels."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from sanp.pipeline.compile.job import Job
from sanp_export.graph.model_file import metadata_of, to_graph, to_model
from sanp_export.passes.fuse_blocks import fusable_blocks, fuse_blocks
from sanp_runtime.contract import BLOCK_VARIANTS, GATED
from sanp_targets.errors import AccelerationError

FUSED = "fused"


def fusable(job: Job, model: onnx.ModelProto) -> dict[str, tuple[str, str, str]]:
    """Node -> its three layers, of every block of the network as trained that the settings make one node."""
    return fusable_blocks(to_graph(model)) if job.settings.onnxruntime.blocks == FUSED else {}


def with_blocks(
    job: Job, models: Mapping[str, onnx.ModelProto]
) -> tuple[dict[str, onnx.ModelProto], dict[str, list[str]]]:
    """The variants with their blocks fused if the settings say so, and `build["blocks"]` of the manifest.

    The network as trained decides which: without learned gates, as in `replay`, more could be fused, and the variants
    would no longer show what its kernels cost. AccelerationError if a variant lacks one of them.
    """
    blocks = fusable(job, models[GATED])
    if not blocks:
        return dict(models), {}
    fused = {}
    for name in BLOCK_VARIANTS:
        graph = to_graph(models[name])
        if (made := fuse_blocks(graph, blocks)) != len(blocks):
            raise AccelerationError(
                f"variant {name!r} has {made} inverted residual blocks that can be one node, expected the "
                f"{len(blocks)} of variant {GATED!r}; compile with --blocks apart"
            )
        fused[name] = to_model(graph, metadata_of(models[name]))
    return {**models, **fused}, {node: list(layers) for node, layers in blocks.items()}
