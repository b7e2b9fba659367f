"""A model in plain ONNX Runtime: standard operators, none of our kernels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from sanp_runtime.contract import INPUT
from sanp_runtime.engines.onnxruntime.session import open_session

_BATCH = 64


def plain_run(
    model: onnx.ModelProto, names: Sequence[str], x: np.ndarray
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Outputs of these names on x [N, C, H, W], a batch after the other: the images of each batch, and its outputs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        session = open_session(path, threads=1)
        for at in range(0, len(x), _BATCH):
            batch = x[at : at + _BATCH]
            yield batch, session.run(list(names), {INPUT: batch})
