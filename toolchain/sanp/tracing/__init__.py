"""The structure of a PyTorch network: its layers, and which channels reach them."""
