"""Train channel-gated networks, export them to ONNX, compile them for a device.

    import sanp
    result = sanp.train(network, (train_loader, validation_loader), output="runs/own", budget=0.5)
    sanp.export(result.network, "model.onnx", example_input=images[:1], images=images.numpy(), labels=labels.numpy())
    sanp.compile("model.onnx", "model.sanp")

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
    from sanp.pipeline.train import train as train
    from sanp.settings.compile import CompileSettings as CompileSettings
    from sanp.settings.export import ExportSettings as ExportSettings
    from sanp.settings.train import TrainSettings as TrainSettings

_PUBLIC = {
    "CompileSettings": ("sanp.settings.compile", "CompileSettings"),
    "ExportSettings": ("sanp.settings.export", "ExportSettings"),
    "TrainingData": ("sanp.data.own", "TrainingData"),
    "TrainSettings": ("sanp.settings.train", "TrainSettings"),
    "compile": ("sanp.pipeline.compile.compile", "compile_model"),
    "export": ("sanp.pipeline.export", "export"),
    "gate": ("sanp.methods.registry", "gate"),
    "train": ("sanp.pipeline.train", "train"),
}
__all__ = ["CompileSettings", "ExportSettings", "TrainSettings", "TrainingData", "compile", "export", "gate", "train"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sanp' has no attribute {name!r}, expected one of {', '.join(__all__)}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)
