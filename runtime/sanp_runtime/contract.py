"""Names that training, export and the device agree on: tensors, variants and backends of a bundle."""

from __future__ import annotations

LOGITS = "logits"
GATE_PREFIX = "gate."  # output gate.<layer>: the scale of every channel, float32 [N, Co], 0 = closed
MASK_PREFIX = "mask."  # input mask.<layer>: float32 [1 or N, Co]

ONNXRUNTIME, TENSORRT = "onnxruntime", "tensorrt"
