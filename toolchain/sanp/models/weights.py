"""Weights from elsewhere: a safetensors file or a state dict, its names and shapes fitted to a network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sanp_targets.errors import ConfigError, InputError

# What wrappers write before the names: DataParallel and DDP, torch.compile, Lightning, averaged models.
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "backbone.")
# Where training programs put the state dict in their own file, the averaged weights last: they are not what was asked.
_PLACES = ("state_dict", "model_state_dict", "model", "network", "net", "weights")
_COUNTER = "num_batches_tracked"  # of batch norms; old files and converters leave it out
_AVERAGED = "n_averaged"  # of torch.optim.swa_utils.AveragedModel, beside the names with their prefix
_SHOWN = 4


def load_weights(network: nn.Module, path: Path, fresh: Iterable[str] = ()) -> tuple[str, ...]:
    """Load the file into `network` in place; returns the names of the tensors that kept their initial values.

    fresh: names of tensors, or of modules, that are not taken from the file, such as a classifier of other classes.
    Prefixes of wrappers are stripped. Nothing is unpickled but tensors. Raises InputError for a file that holds no
    weights, ConfigError naming the tensors that are missing, left over or of another shape.
    """
    own, fresh = network.state_dict(), tuple(fresh)
    found = _stripped(_read(path), set(own))
    unknown = [item for item in fresh if not any(_is_in(name, item) for name in own)]
    if unknown:
        raise ConfigError(f"weights_except names {unknown[0]}, which the network does not have; correct the name")
    kept = tuple(name for name in own if any(_is_in(name, item) for item in fresh))
    taken = {name: value for name, value in found.items() if not any(_is_in(name, item) for item in fresh)}
    wanted = {
        name: value
        for name, value in own.items()
        if name not in kept and (name in taken or not name.endswith(_COUNTER))
    }
    shown = misfits(wanted, taken, "here", _SHOWN)
    if shown:
        raise ConfigError(
            f"{path} does not fit {type(network).__name__}: {shown}; pass the weights of this network, correct "
            "model_args, or name the modules that shall keep fresh weights in weights_except"
        )
    _check_numbers(path, own, {name: value for name, value in taken.items() if name in own})
    network.load_state_dict({name: own[name] if name in kept else found.get(name, own[name]) for name in own})
    return kept


def _check_numbers(path: Path, own: Mapping[str, Tensor], taken: Mapping[str, Tensor]) -> None:
    """InputError for weights that are no real numbers, which a copy would round or spread without a word."""
    for name, value in taken.items():
        if own[name].is_floating_point() and not value.is_floating_point():
            raise InputError(
                f"{path}: {name} is {str(value.dtype).removeprefix('torch.')}, expected real numbers, as of a network "
                "that is not quantised; save the weights before"
            )
        if not torch.isfinite(value).all():
            raise InputError(
                f"{path}: {name} holds NaN or infinity, expected finite weights; the run that saved them has diverged"
            )


def misfits(own: Mapping[str, Tensor], found: Mapping[str, Tensor], here: str, most: int) -> str:
    """The first tensors of a network and of a file that do not fit, and how many more; empty if all do.

    here: what the network is called in the sentence. most: how many are named.
    """
    rows = [
        *(f"{name} is {list(found[name].shape)} in the file and {list(own[name].shape)} {here}"
          for name in own if name in found and found[name].shape != own[name].shape),
        *(f"{name} is not in the file" for name in own if name not in found),
        *(f"{name} is in the file only" for name in found if name not in own),
    ]  # fmt: skip
    return "; ".join(rows[:most]) + (f"; {len(rows) - most} more" if rows[most:] else "")


def _is_in(name: str, item: str) -> bool:
    """Whether a tensor is the named one, or one of the named module."""
    return name == item or name.startswith(f"{item}.")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(
            f"cannot read {path} ({error.strerror}), expected a file of weights; check the path"
        ) from error
    except Exception as error:  # zipfile, pickle, safetensors: many types, one meaning
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()  # torch writes its advice in bold
        reason = (text.splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"{path} is not a file of weights ({reason}), expected safetensors or a state dict of tensors; save "
            "network.state_dict() alone"
        ) from error
    for _ in range(2):
        place = next((key for key in _PLACES if isinstance(content, Mapping) and _is_table(content.get(key))), None)
        content = content[place] if place is not None else content
    if not _is_table(content):
        raise InputError(f"{path} holds no table of tensors, expected a state dict; save network.state_dict()")
    strange = [key for key in content if not isinstance(key, str)]
    if strange:
        raise InputError(
            f"{path}: has the key {strange[0]!r:.40}, expected names of tensors; save network.state_dict()"
        )
    return {name: value for name, value in content.items() if isinstance(value, Tensor) and name != _AVERAGED}


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and any(isinstance(item, Tensor) for item in value.values())


def _stripped(found: dict[str, Tensor], own: set[str]) -> dict[str, Tensor]:
    """The file's tensors without the prefixes of wrappers, as many of them as make most names fit."""
    best = found
    while prefix := next((item for item in _PREFIXES if found and all(name.startswith(item) for name in found)), None):
        found = {name[len(prefix) :]: value for name, value in found.items()}
        if len(own & set(found)) > len(own & set(best)):
            best = found
    return best
