"""What a network costs: its layers, which channels reach them, and the multiply-accumulates that follow."""
