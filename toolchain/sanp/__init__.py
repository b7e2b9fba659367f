"""Train channel-gated networks, export them to ONNX, compile them for a device.

    import sanp
    result = sanp.train(network, (train_loader, validation_loader), output="runs/own", budget=0.5)
    sanp.export(result.network, "model.onnx", example_input=images[:1], images=images.numpy(), labels=labels.numpy())
    sanp.compile("model.onnx", "model.sanp")
    measured = sanp.profile("model.sanp", duration=20)      # the JSON of a profile
    checked = sanp.validate("model.sanp", "runs/digits/checkpoint.safetensors")

Heavy packages are imported at the first use of a function, so `import sanp` also works where torch is absent.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanp.data.own import TrainingData as TrainingData
    from sanp.methods.registry import gate as gate
    from sanp.pipeline.compile.compile import compile_model as compile
    from sanp.pipeline.export import export as export
    from sanp.pipeline.profile import profile_bundle as profile
    from sanp.pipeline.train import train as train
    from sanp.pipeline.validate import validate as validate
    from sanp.pipeline.validate import validate_on_board as validate_on_board
    from sanp.settings.compile import CompileSettings as CompileSettings
    from sanp.settings.export import ExportSettings as ExportSettings
    from sanp.settings.profile import ProfileSettings as ProfileSettings
    from sanp.settings.train import TrainSettings as TrainSettings
    from sanp.settings.validate import ValidateSettings as ValidateSettings

_PUBLIC = {
    "CompileSettings": ("sanp.settings.compile", "CompileSettings"),
    "ExportSettings": ("sanp.settings.export", "ExportSettings"),
    "ProfileSettings": ("sanp.settings.profile", "ProfileSettings"),
    "TrainingData": ("sanp.data.own", "TrainingData"),
    "TrainSettings": ("sanp.settings.train", "TrainSettings"),
    "ValidateSettings": ("sanp.settings.validate", "ValidateSettings"),
    "compile": ("sanp.pipeline.compile.compile", "compile_model"),
    "export": ("sanp.pipeline.export", "export"),
    "gate": ("sanp.methods.registry", "gate"),
    "profile": ("sanp.pipeline.profile", "profile_bundle"),
    "train": ("sanp.pipeline.train", "train"),
    "validate": ("sanp.pipeline.validate", "validate"),
    "validate_on_board": ("sanp.pipeline.validate", "validate_on_board"),
}
__all__ = [
    "CompileSettings",
    "ExportSettings",
    "ProfileSettings",
    "TrainSettings",
    "TrainingData",
    "ValidateSettings",
    "compile",
    "export",
    "gate",
    "profile",
    "train",
    "validate",
    "validate_on_board",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sanp' has no attribute {name!r}, expected one of {', '.join(__all__)}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)
