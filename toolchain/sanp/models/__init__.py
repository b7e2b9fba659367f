"""Plain backbones by name; nothing in here knows about gates."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from sanp.models.m_cifarnet import MCifarNet
from sanp.models.resnet import resnet18
from sanp.models.vgg import vgg19
from sanp_targets.errors import ConfigError

__all__ = ["NAMES", "MCifarNet", "build", "resnet18", "vgg19"]

_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "m-cifarnet": MCifarNet,
    "vgg-19": vgg19,
    "resnet-18": resnet18,
}
NAMES = tuple(_BUILDERS)


def build(
    name: str, num_classes: int = 10, width: float = 1.0, in_channels: int = 3, image_size: int = 32
) -> nn.Module:
    """A freshly initialised backbone that maps float32 [N, in_channels, image_size, image_size] to [N, num_classes].

    width multiplies every channel count (rounded, at least 1). Raises ConfigError for an unknown name, a width that is
    not positive, fewer than two classes or an image that is too small for the network's strides.
    """
    if name not in _BUILDERS:
        raise ConfigError(f"model {name!r} is not known, expected one of {', '.join(NAMES)}; correct the model name")
    if not width > 0:
        raise ConfigError(f"width is {width}, expected a factor above 0; 1.0 is the published network")
    if num_classes < 2 or in_channels < 1:
        raise ConfigError(
            f"num_classes is {num_classes} and in_channels {in_channels}, expected at least 2 and 1; check the data set"
        )
    if image_size < 16:
        raise ConfigError(f"image_size is {image_size}, {name} needs at least 16 pixels; upsample the images")
    return _BUILDERS[name](num_classes=num_classes, width=width, in_channels=in_channels)
