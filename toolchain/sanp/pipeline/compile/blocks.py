"""`--blocks`: inverted residual blocks as one node each, in the variants that run in our kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from sanp.pipeline.compile.job import Job
from sanp_export.graph.inverted_residuals import gated_projections
from sanp_export.graph.model_file import metadata_of, to_graph, to_model
from sanp_export.passes.fuse_blocks import fusable_blocks, fuse_blocks
from sanp_runtime.contract import BLOCK_VARIANTS, GATED, ONNXRUNTIME
from sanp_targets.errors import AccelerationError

FUSED = "fused"


def fusable(job: Job, model: onnx.ModelProto) -> dict[str, tuple[str, str, str]]:
    """Node -> its three layers, of every block of the network as trained that the settings make one node."""
    return fusable_blocks(to_graph(model)) if job.settings.onnxruntime.blocks == FUSED else {}


def kept_apart(job: Job) -> list[str]:
    """Projections whose gates keep their blocks from being one node; none where blocks are not asked for."""
    asked = job.target.backend == ONNXRUNTIME and not job.settings.int8 and job.settings.onnxruntime.blocks == FUSED
    return gated_projections(to_graph(job.model)) if asked else []


def summary(projections: Sequence[str]) -> list[str]:
    """Lines for people."""
    count = len(projections)
    blocks = "1 inverted residual block runs" if count == 1 else f"{count} inverted residual blocks run"
    return [
        f"{blocks} layer by layer, because a gate on the last layer ({', '.join(projections)[:100]}) reads the whole "
        "map in front of it.",
        "Training with --set layers=inner leaves these gates out: such blocks are one node and take less time.",
    ]


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
