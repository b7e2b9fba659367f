"""Single layers and single nodes of the CPU kernels; README.md names the commands."""
