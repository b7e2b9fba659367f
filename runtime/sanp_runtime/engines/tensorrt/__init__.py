"""The TensorRT backend: build engines on the device, prove whose layers they hold, run and measure them."""
