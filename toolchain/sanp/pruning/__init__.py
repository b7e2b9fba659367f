"""What methods that remove channels for good share: which channels matter, which stay, and the removal."""
