"""Whose kernels compute a network without gates, and why, in a sentence."""

from __future__ import annotations

from typing import Optional

from sanp_runtime.bundle.manifest import Manifest

_WHOSE = {"ours": "our kernels", "onnxruntime": "ONNX Runtime's own kernels"}


def kernels_note(manifest: Manifest) -> Optional[str]:
    """A sentence if `compile` was told whose kernels to take, else None: then those of the target compute it."""
    row = manifest.build.get("kernels")
    if row is None:
        return None
    chosen, times = row["chosen"], row.get("ms")
    share = f" {len(row['layers'])} of {len(manifest.layers)} layers" if chosen == "ours" else " every layer"
    text = f"{_WHOSE.get(chosen, chosen)} compute{share}"
    if times is None:
        return f"{text}, as was asked for"
    other = "onnxruntime" if chosen == "ours" else "ours"
    return f"{text}: {times[chosen]:.3f} ms where it was compiled, {times[other]:.3f} ms in {_WHOSE[other]}"
