"""The steps behind the commands: checkpoint to ONNX, ONNX to bundle, bundle against PyTorch. Plain functions."""
