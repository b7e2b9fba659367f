"""Open a variant in ONNX Runtime: which operator library it gets."""

from __future__ import annotations

from dataclasses import replace

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import DENSE, LIBRARY_FILE, UNGATED
from sanp_runtime.engines.onnxruntime.engine import OnnxEngine
from sanp_runtime.engines.options import BUNDLED, EngineOptions


def open_engine(bundle: Bundle, variant: str, options: EngineOptions) -> OnnxEngine:
    """The engine of one variant; TargetError if its library is missing or cannot be used here."""
    if (
        variant == bundle.manifest.main == DENSE
        and options.library == BUNDLED
        and LIBRARY_FILE in bundle.manifest.files
    ):
        # A network without channel gates that has nodes for our library: for gated pixels, or as it was asked for.
        return OnnxEngine(bundle, variant, replace(options, library=bundle.library()))
    if variant in UNGATED and options.library in (BUNDLED, None):
        # It has no gated node and runs in plain ONNX Runtime, as a baseline should.
        return OnnxEngine(bundle, variant, options.without_library())
    if variant in UNGATED:
        return OnnxEngine(bundle, variant, EngineOptions(threads=options.threads, library=options.library))
    library = bundle.library() if options.library == BUNDLED else options.library
    return OnnxEngine(bundle, variant, replace(options, library=library))
