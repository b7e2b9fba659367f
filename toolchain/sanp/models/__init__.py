"""Plain backbones by name or by import path; nothing in here knows about gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from sanp.models.import_path import build_imported
from sanp.models.m_cifarnet import MCifarNet
from sanp.models.mobilenet_v2 import MobileNetV2
from sanp.models.resnet import resnet18
from sanp.models.resnet_cifar import CifarResNet
from sanp.models.resnet_imagenet import ImageNetResNet
from sanp.models.vgg import vgg16, vgg19
from sanp.models.weights import load_weights
from sanp.settings.train import TrainSettings, is_custom, is_import_path
from sanp_targets.errors import ConfigError

__all__ = ["NAMES", "MCifarNet", "build", "build_for", "is_import_path", "load_weights", "resnet18", "vgg16", "vgg19"]

_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "m-cifarnet": MCifarNet,
    "vgg-16": vgg16,
    "vgg-19": vgg19,
    "resnet-18": resnet18,
    # 6n+2 layers; "-a" has shortcuts without weights (type A), the others 1x1 projections (type B).
    **{f"resnet-{6 * n + 2}": partial(CifarResNet, n, "B") for n in (3, 5, 9, 18)},
    **{f"resnet-{6 * n + 2}-a": partial(CifarResNet, n, "A") for n in (3, 5, 9, 18)},
    # The name says the form, whatever the size of the images.
    "imagenet-resnet-18": partial(ImageNetResNet, (2, 2, 2, 2), False),
    "imagenet-resnet-34": partial(ImageNetResNet, (3, 4, 6, 3), False),
    "imagenet-resnet-50": partial(ImageNetResNet, (3, 4, 6, 3), True),
    "imagenet-mobilenet-v2": MobileNetV2,
}
NAMES = tuple(_BUILDERS)


def build(
    name: str,
    num_classes: int | None = 10,
    width: float = 1.0,
    in_channels: int = 3,
    image_size: int = 32,
    args: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A freshly initialised backbone that maps float32 [N, in_channels, image_size, image_size] to [N, num_classes].

    width multiplies every channel count (rounded, at least 1). A name "package.module:factory" is a network of the
    user's own: args are the factory's keyword arguments, and it is also told num_classes (unless it is None, unknown),
    in_channels and image_size if it has such parameters. Raises ConfigError for an unknown name, a width that is not
    positive, fewer than two classes or an image that is too small for the network's strides; for a factory that cannot
    be found or fails.
    """
    if is_import_path(name):
        if width != 1.0:
            raise ConfigError(f"width is {width} for {name}, which the built-in backbones alone have; use model_args")
        known = {"in_channels": in_channels, "image_size": image_size}
        if num_classes is not None:
            known["num_classes"] = num_classes
        return build_imported(name, args or {}, known)
    if is_custom(name):
        raise ConfigError(
            f"model is {name!r}, a network that was given as an object; pass that object, or name its factory as "
            "package.module:factory"
        )
    if args:
        raise ConfigError(f"model_args are given for {name}, expected none: only factories by import path take them")
    if name not in _BUILDERS:
        raise ConfigError(
            f"model {name!r} is not known, expected one of {', '.join(NAMES)}, or package.module:factory for a network "
            "of your own; correct the model name"
        )
    if not width > 0:
        raise ConfigError(f"width is {width}, expected a factor above 0; 1.0 is the published network")
    if num_classes is None or num_classes < 2 or in_channels < 1:
        raise ConfigError(
            f"num_classes is {num_classes} and in_channels {in_channels}, expected at least 2 and 1; check the data set"
        )
    if image_size < 16:
        raise ConfigError(f"image_size is {image_size}, {name} needs at least 16 pixels; upsample the images")
    return _BUILDERS[name](num_classes=num_classes, width=width, in_channels=in_channels)


def build_for(settings: TrainSettings, num_classes: int | None, in_channels: int) -> nn.Module:
    """The backbone that a run begins with: freshly initialised, then the weights of the settings.

    Raises what `build` and `load_weights` raise.
    """
    network = build(
        settings.model, num_classes, settings.width, in_channels, settings.image_size, args=settings.model_args
    )
    if settings.weights is not None:
        load_weights(network, settings.weights, settings.weights_except)
    return network
