"""Exported model to bundle: `compile` reads and describes, one file per backend makes what its engines load."""
