"""The rows of the table: which file each engine runs, in which runtime, and how close its answer must be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLOAT_TOLERANCE = 1e-4
# Relative error of the logits that eight-bit weights and activations may cause here. Measured with random weights:
# 1.5 to 3 % in the backbones, up to 23 % in MobileNetV3; a network that is another one is off by 100 %.
INT8_TOLERANCE = 0.4
# Files with control inputs.
MASKED = ("gates", "masks", "masks-bf16", "gates-int8", "masks-int8")
# Quantised files, by the file that they are made of, whose answers they must come close to.
QUANTISED = {"int8": "dense", "narrow-int8": "narrow", "gates-int8": "gates", "masks-int8": "masks"}


@dataclass(frozen=True)
class Engine:
    """One row. model: file stem in the folder of prepare.py; oracle: the stem whose float answers are the truth."""

    name: str
    label: str
    runtime: str
    model: str
    oracle: str
    ours: bool = False

    @property
    def int8(self) -> bool:
        """Whether the file holds a quantised network."""
        return self.model in QUANTISED

    def error(self, logits: np.ndarray, truth: np.ndarray) -> float:
        """Relative error: of the worst logit in float32, root mean square in int8."""
        if logits.shape != truth.shape or not np.isfinite(logits).all():
            return float("inf")
        difference = np.abs(logits - truth)
        if self.int8:
            return float(np.sqrt(np.mean(difference**2) / np.mean(truth**2)))
        return float(difference.max() / np.abs(truth).max())

    @staticmethod
    def agreement(logits: np.ndarray, truth: np.ndarray) -> float:
        """The share of samples whose largest logit is that of the true answer."""
        return float((logits.argmax(-1) == truth.argmax(-1)).mean())

    @property
    def tolerance(self) -> float:
        """The largest error with which this engine is timed at all."""
        return INT8_TOLERANCE if self.int8 else FLOAT_TOLERANCE


ENGINES = (
    Engine("sanp", "SANP, gates computed", "onnxruntime", "gates", "gates", ours=True),
    Engine("sanp-masks", "SANP, masks only", "onnxruntime", "masks", "masks", ours=True),
    Engine("sanp-bf16", "SANP, masks only, 16-bit weights", "onnxruntime", "masks-bf16", "masks-bf16", ours=True),
    Engine("sanp-int8", "SANP int8, gates computed", "onnxruntime", "gates-int8", "gates", ours=True),
    Engine("sanp-masks-int8", "SANP int8, masks only", "onnxruntime", "masks-int8", "masks", ours=True),
    Engine("onnxruntime", "ONNX Runtime, dense", "onnxruntime", "dense", "dense"),
    Engine("openvino", "OpenVINO, dense", "openvino", "dense", "dense"),
    Engine("ncnn", "ncnn, dense", "ncnn", "dense", "dense"),
    Engine("onnxruntime-int8", "ONNX Runtime, dense int8", "onnxruntime", "int8", "dense"),
    Engine("openvino-int8", "OpenVINO, dense int8", "openvino", "int8", "dense"),
    Engine("onnxruntime-narrow", "ONNX Runtime, narrowed", "onnxruntime", "narrow", "narrow"),
    Engine("openvino-narrow", "OpenVINO, narrowed", "openvino", "narrow", "narrow"),
    Engine("ncnn-narrow", "ncnn, narrowed", "ncnn", "narrow", "narrow"),
    Engine("onnxruntime-narrow-int8", "ONNX Runtime, narrowed int8", "onnxruntime", "narrow-int8", "narrow"),
    Engine("openvino-narrow-int8", "OpenVINO, narrowed int8", "openvino", "narrow-int8", "narrow"),
    Engine("onnxruntime-uneven", "ONNX Runtime, narrowed to odd widths", "onnxruntime", "uneven", "uneven"),
)
BY_NAME = {engine.name: engine for engine in ENGINES}
BASELINE = "onnxruntime"
