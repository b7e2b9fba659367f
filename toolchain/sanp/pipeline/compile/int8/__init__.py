"""`sanp compile --int8`: ranges from samples, layers that cost too much back to float32, and the variants."""
