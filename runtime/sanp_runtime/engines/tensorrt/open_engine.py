"""Open a variant with what this machine has: TensorRT's Python package, or trtexec."""

from __future__ import annotations

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.engines.tensorrt.base import TensorrtBase
from sanp_runtime.engines.tensorrt.engine import TensorrtEngine
from sanp_runtime.engines.tensorrt.tools import has_package
from sanp_runtime.engines.tensorrt.trtexec_engine import TrtexecEngine
from sanp_runtime.engines.tensorrt.versions import build_command, find_trtexec
from sanp_targets.errors import ConfigError, TargetError


def open_engine(bundle: Bundle, variant: str, options: EngineOptions) -> TensorrtBase:
    """The engine of one variant; TargetError if the bundle has no engines yet or they do not belong here."""
    changed = options.changed()
    if changed:
        words = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        raise ConfigError(f"{words} was asked of a TensorRT bundle, expected no such options there; leave them out")
    if not bundle.manifest.engines_built:
        raise TargetError(
            f"{bundle.path}: has no engines yet, expected those of this device; build them: "
            f"{build_command(bundle.path)}"
        )
    path = None if has_package() else find_trtexec()
    return TensorrtEngine(bundle, variant) if path is None else TrtexecEngine(bundle, variant, path)
