"""The names that timm and pytorchcv import from torchvision, for environments without it.

torchvision's packages belong to one build of torch, and a build for the CPU alone is not always at hand. The networks
of the zoo need none of its code, only that the imports succeed. Whoever uses one of these names gets an error.
"""

from __future__ import annotations

import enum
import importlib.util
import sys
import types
from typing import Any

_MODULES = ("", ".datasets", ".models", ".ops", ".ops.misc", ".transforms", ".transforms.functional", ".utils")


class InterpolationMode(enum.Enum):
    """Members as in torchvision: tables of timm have them as keys."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


class _Module(types.ModuleType):
    """Any name is a class that cannot be made; names of timm's optional imports are missing, as without torchvision."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "InterpolationMode":
            return InterpolationMode

        def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(f"torchvision's {name} was asked for, and torchvision is not installed")

        made = type(name, (), {"__init__": refuse})
        setattr(self, name, made)
        return made


def stand_in() -> bool:
    """Put the names in place unless torchvision is installed; whether that was needed."""
    if "torchvision" in sys.modules:
        return isinstance(sys.modules["torchvision"], _Module)
    if importlib.util.find_spec("torchvision") is not None:
        return False
    for suffix in _MODULES:
        module = _Module(f"torchvision{suffix}")
        module.__path__ = []  # a package, so that its parts can be imported
        module.__spec__ = importlib.util.spec_from_loader(module.__name__, None)
        sys.modules[module.__name__] = module
    for suffix in sorted(_MODULES[1:], key=len):
        parent, _, name = f"torchvision{suffix}".rpartition(".")
        setattr(sys.modules[parent], name, sys.modules[f"torchvision{suffix}"])
    return True
