"""The dense variant of bytes, by ONNX Runtime's own quantiser: what a user without gates would run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx

from sanp.pipeline.compile.int8.ranges import Samples, calibration_method, quiet
from sanp_export.graph import model_file


def dense_bytes(dense: onnx.ModelProto, x: np.ndarray, method: str) -> onnx.ModelProto:
    """The dense variant with QuantizeLinear and DequantizeLinear, which ONNX Runtime fuses into QLinearConv.

    Weights per output channel, signed; activations unsigned: in ONNX Runtime the fastest pair. It has ranges of its
    own, because without gates feature maps are larger.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    copy = onnx.ModelProto()
    copy.CopyFrom(dense)  # the quantiser moves the weights of its argument into a temporary file
    with quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dense.onnx"
        quantize_static(
            copy,
            path,
            Samples(x),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=calibration_method(method),
        )
        made = onnx.load(path)
    return model_file.to_model(model_file.to_graph(made), model_file.metadata_of(dense))
