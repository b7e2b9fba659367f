"""PyTorch to gated ONNX: lowering, graph passes, the file that runs everywhere."""
