"""Open a variant in ONNX Runtime: which operator library it gets."""

from __future__ import annotations

from dataclasses import replace

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import DENSE
from sanp_runtime.engines.onnxruntime.engine import OnnxEngine
from sanp_runtime.engines.options import BUNDLED, EngineOptions


def open_engine(bundle: Bundle, variant: str, options: EngineOptions) -> OnnxEngine:
    """The engine of one variant; TargetError if its library is missing or cannot be used here."""
    library = options.library
    if library == BUNDLED:
        # The dense variant has no gated node: it runs in plain ONNX Runtime, as the baseline should.
        library = None if variant == DENSE else bundle.library()
    isa = None if variant == DENSE else options.isa
    return OnnxEngine(bundle, variant, replace(options, library=library, isa=isa))
