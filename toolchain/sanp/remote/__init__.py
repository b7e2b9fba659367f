"""A board at the other end of SSH: reach it, send it a bundle, run there, and bring the answer back."""
