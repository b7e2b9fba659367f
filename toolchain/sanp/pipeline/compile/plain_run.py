"""A model in ONNX Runtime without a bundle: standard operators alone, or our kernels with a library."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from sanp_runtime.contract import INPUT, mask_input
from sanp_runtime.engines.onnxruntime.session import open_session

_BATCH = 64


def plain_run(
    model: onnx.ModelProto,
    names: Sequence[str],
    x: np.ndarray,
    masks: Mapping[str, np.ndarray] | None = None,
    library: Path | None = None,
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Outputs of these names on x [N, C, H, W], a batch after the other: the images of each batch, and its outputs.

    masks: gated layer -> [N, Co], a row for each image. library: operator library to register, None for none.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        session = open_session(path, threads=1, library=library)
        for at in range(0, len(x), _BATCH):
            rows = slice(at, at + _BATCH)
            feeds = {mask_input(name): mask[rows] for name, mask in (masks or {}).items()}
            yield x[rows], session.run(list(names), {INPUT: x[rows], **feeds})


def run_whole(
    model: onnx.ModelProto,
    names: Sequence[str],
    x: np.ndarray,
    masks: Mapping[str, np.ndarray] | None = None,
    library: Path | None = None,
) -> list[np.ndarray]:
    """`plain_run` with the batches of every output put together."""
    parts = [values for _, values in plain_run(model, names, x, masks, library)]
    return [np.concatenate(values) for values in zip(*parts)]
