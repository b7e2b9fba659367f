"""Run a variant of a bundle in ONNX Runtime or TensorRT."""
