"""The CUDA kernels against cuDNN; README.md names the command."""
