"""`load`: from a name to a data set."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from sanp.data.cifar import load_cifar10, load_cifar100
from sanp.data.dataset import Dataset
from sanp.data.digits import load_digits
from sanp.data.image_folder import load_image_folder
from sanp.data.mixcues import load_mixcues
from sanp.data.streamed import Streamed, load_image_stream, load_tar_shards
from sanp.settings.train import CUSTOM
from sanp_targets.errors import ConfigError

_LOADERS: dict[str, Callable[..., Dataset | Streamed]] = {
    "digits": load_digits,
    "mixcues": load_mixcues,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "image-folder": load_image_folder,
    "image-stream": load_image_stream,
    "tar-shards": load_tar_shards,
}
NAMES = tuple(_LOADERS)


def load(name: str, root: str | Path | None = None, image_size: int = 32, **options: Any) -> Dataset | Streamed:
    """The data set `name` with images of image_size x image_size pixels.

    root: folder of the files for data sets that are not generated or bundled. options: the knobs of the data set.
    Raises ConfigError for an unknown name, an option that is unknown or of another type, or a missing root; InputError
    for damaged files.
    """
    if name == CUSTOM:
        raise ConfigError(
            "the data were given in Python and have no name, expected one of a data set; pass images and labels to the "
            "function in Python, or name a data set"
        )
    if name not in _LOADERS:
        raise ConfigError(f"data set {name!r} is not known, expected one of {', '.join(NAMES)}; correct the name")
    loader = _LOADERS[name]
    accepted = set(inspect.signature(loader).parameters) - {"root", "image_size"}
    unknown = sorted(set(options) - accepted)
    if unknown:
        raise ConfigError(
            f"data set {name} has no option {', '.join(unknown)}, expected {', '.join(sorted(accepted)) or 'none'}; "
            "remove it"
        )
    kinds = get_type_hints(loader)
    for key, value in options.items():
        accepted_kinds = (int, float) if kinds[key] is float else (kinds[key],)
        if type(value) not in accepted_kinds:
            raise ConfigError(
                f"data set {name}: option {key} is {value!r}, expected {kinds[key].__name__}; correct its type"
            )
    if "root" not in inspect.signature(loader).parameters:
        return loader(image_size=image_size, **options)
    if root is None:
        raise ConfigError(f"data set {name} needs a local folder and none was given; pass its path as the data root")
    return loader(root=Path(root), image_size=image_size, **options)
