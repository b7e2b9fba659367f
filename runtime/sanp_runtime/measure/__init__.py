"""Time what runs, and say whether the numbers may be quoted."""
