"""PyTorch to gated ONNX: lowering, graph passes, one file for our kernels and for plain ONNX Runtime."""
