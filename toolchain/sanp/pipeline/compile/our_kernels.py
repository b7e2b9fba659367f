"""`--kernels`: our kernels for a network without gates, where they were asked for or are faster here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sanp.pipeline.compile.job import Job, Log
from sanp.pipeline.tune.race import race_networks
from sanp.pipeline.tune.record import network_feeds
from sanp_export.graph.model_file import metadata_of, to_graph, to_model
from sanp_export.passes.always_open import always_open
from sanp_runtime.contract import CONV_SUFFIX, DENSE, GATED_CONV
from sanp_targets.errors import ConfigError

_ROUNDS = 31


def choose_kernels(
    job: Job, models: Mapping[str, onnx.ModelProto], library: Path, log: Log
) -> tuple[dict[str, onnx.ModelProto], dict[str, Any]]:
    """The variants, `dense` rewritten for our kernels if those were chosen, and `build["kernels"]` of the manifest.

    auto: the whole network is timed in both forms, one sample a call, one thread; the shorter median wins. Raises
    ConfigError where nothing could run in our kernels, and for auto with images of any size.
    """
    asked, name = job.settings.onnxruntime.kernels, job.described.name
    graph = to_graph(models[DENSE])
    always_open(graph)
    ours = to_model(graph, metadata_of(models[DENSE]))
    layers = [node.name.removesuffix(CONV_SUFFIX) for node in ours.graph.node if node.op_type == GATED_CONV]
    if not layers:
        raise ConfigError(
            f"{name} has no two-dimensional convolution of one group with constant weights, expected one for "
            f"--kernels {asked} to compute; leave it out"
        )
    record: dict[str, Any] = {"asked": asked, "chosen": "ours"}
    if asked == "auto":
        if not job.described.one_size:
            raise ConfigError(
                f"{name} takes images of several sizes, and --kernels auto times one, expected a model exported for "
                "one; name the kernels: --kernels ours, or onnxruntime"
            )
        log("timing the network in our kernels and in those of ONNX Runtime; keep the machine idle")
        forms = {"ours": ours, "onnxruntime": models[DENSE]}
        times = race_networks(forms, network_feeds(job.described, job.answers), library, _ROUNDS)
        record["ms"] = {form: float(np.median(values)) for form, values in times.items()}
        record["chosen"] = min(record["ms"], key=record["ms"].__getitem__)
    if record["chosen"] != "ours":
        return dict(models), {**record, "layers": []}
    return {**models, DENSE: ours}, {**record, "layers": layers}
