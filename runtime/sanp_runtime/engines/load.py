"""Load one variant of a bundle: `engine = load("net.sanp"); result = engine(x)`."""

from __future__ import annotations

import importlib
from typing import Callable, Optional

from sanp_runtime.bundle.reader import Bundle, PathLike, open_bundle
from sanp_runtime.contract import ONNXRUNTIME, TENSORRT
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.options import BUNDLED, EngineOptions
from sanp_targets.errors import InputError, TargetError

Opener = Callable[[Bundle, str, EngineOptions], Engine]

# Backend of a bundle -> module with `open_engine(bundle, variant, options) -> Engine`, imported when it is needed.
BACKENDS = {
    ONNXRUNTIME: "sanp_runtime.engines.onnxruntime.open_engine",
    TENSORRT: "sanp_runtime.engines.tensorrt.open_engine",
}


def load(
    path: PathLike,
    *,
    variant: Optional[str] = None,
    threads: int = 1,
    library: Optional[PathLike] = BUNDLED,
    isa: Optional[str] = None,
    winograd: Optional[int] = None,
    bf16_weights: Optional[bool] = None,
    verify: bool = True,
) -> Engine:
    """Load one variant of a bundle.

    variant: "gated" (learned gates), "open" (every gate open), "replay" (masks are the scales), "dense" (no gates) or
    "parent" (the network before channels were removed), as far as the bundle has them; None is the network as trained.
    threads, library, isa, winograd, bf16_weights: see `EngineOptions`. verify: check the hash of every file. Raises
    InputError for a damaged bundle or an unknown variant, TargetError if the backend or the library cannot be used
    here, ConfigError for a bad option.
    """
    options = EngineOptions(threads, library, isa, winograd, bf16_weights)
    return load_bundle(open_bundle(path, verify), variant, options)


def load_bundle(bundle: Bundle, variant: Optional[str] = None, options: Optional[EngineOptions] = None) -> Engine:
    """`load` for a bundle that is already open."""
    chosen = (options or EngineOptions()).check()
    variant = bundle.manifest.main if variant is None else variant
    if variant not in bundle.manifest.variants:
        raise InputError(f"there is no variant {variant!r}, expected one of {sorted(bundle.manifest.variants)}")
    backend = bundle.manifest.target["backend"]
    if backend not in BACKENDS:
        raise TargetError(
            f"{bundle.path} needs the backend {backend!r}, this runtime has {' and '.join(BACKENDS)}; "
            "install a matching sanp-toolchain or compile for another target"
        )
    opener: Opener = importlib.import_module(BACKENDS[backend]).open_engine
    return opener(bundle, variant, chosen)
