"""What is not done for models whose weights stand in a file of their own, because one file cannot hold them."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from sanp.settings.compile import CompileSettings
from sanp_export.graph.weight_files import external
from sanp_runtime.contract import ONNXRUNTIME
from sanp_targets.errors import ConfigError
from sanp_targets.targets import Target


def check_large(name: str, models: Sequence[onnx.ModelProto], target: Target, settings: CompileSettings) -> None:
    """ConfigError for a target or a setting that makes other weights, or runs models from memory."""
    if not any(map(external, models)):
        return
    if target.backend != ONNXRUNTIME:
        raise ConfigError(
            f"{name} has its weights in a file beside it, since one file cannot hold them, which is not compiled for "
            f"{target.name}, expected a target for ONNX Runtime; remove channels first, or choose such a target"
        )
    part = settings.onnxruntime
    asked = [f"--{key.replace('_', '-')}" for key, value in part if value != getattr(type(part)(), key)]
    whole = {"--fold": settings.fold, "--int8": settings.int8}
    asked = [*(flag for flag, given in whole.items() if given), *(flag for flag in asked if flag != "--library")]
    if asked:
        raise ConfigError(
            f"{name} has its weights in a file beside it, since one file cannot hold them, which {' and '.join(asked)} "
            "cannot change, expected neither; leave it out, or remove channels first"
        )
