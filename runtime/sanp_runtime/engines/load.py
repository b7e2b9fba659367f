"""Load one variant of a bundle: `engine = load("net.sanp"); result = engine(x)`."""

from __future__ import annotations

from typing import Optional

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.contract import GATED, ONNXRUNTIME, TENSORRT
from sanp_runtime.engines.base import Engine
from sanp_targets.errors import InputError, TargetError


def load(
    path: PathLike,
    *,
    variant: str = GATED,
    threads: int = 1,
    library: Optional[PathLike] = "bundle",
    isa: Optional[str] = None,
    verify: bool = True,
) -> Engine:
    """Load one variant of a bundle.

    variant: "gated" (learned gates), "open" (every gate open), "replay" (masks are the scales) or "dense" (no gates).
    library: "bundle" for the operator library inside, None for plain ONNX Runtime (same logits, slow), or a path. isa:
    force an instruction set of the library. verify: check the hash of every file. A TensorRT bundle takes neither
    threads nor library nor isa. Raises InputError for a damaged bundle, TargetError if the backend or the library
    cannot be used here, ConfigError for a bad argument.
    """
    bundle = open_bundle(path, verify)
    return load_bundle(bundle, variant=variant, threads=threads, library=library, isa=isa)


def load_bundle(
    bundle: Bundle,
    *,
    variant: str = GATED,
    threads: int = 1,
    library: Optional[PathLike] = "bundle",
    isa: Optional[str] = None,
) -> Engine:
    """`load` for a bundle that is already open."""
    if variant not in bundle.manifest.variants:
        raise InputError(f"there is no variant {variant!r}, expected one of {sorted(bundle.manifest.variants)}")
    backend = bundle.manifest.target["backend"]
    if backend == ONNXRUNTIME:
        from sanp_runtime.engines.onnxruntime.engine import open_onnx

        return open_onnx(bundle, variant, threads, library, isa)
    if backend == TENSORRT:
        from sanp_runtime.engines.tensorrt.engine import open_tensorrt

        return open_tensorrt(bundle, variant, threads, library, isa)
    raise TargetError(
        f"{bundle.path} needs the backend {backend!r}, this runtime has {ONNXRUNTIME} and {TENSORRT}; "
        "install a matching sanp-toolchain or compile for another target"
    )
