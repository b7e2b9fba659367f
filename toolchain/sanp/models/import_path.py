"""A network of one's own by its import path, "package.module:factory": found, checked and called."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sanp.models.wrappers import unwrapped
from sanp_targets.errors import ConfigError

# A checkpoint names a factory, and whoever reads one calls it. So these, which build no network that is anybody's own
# and can load or run anything, are no factories.
_NEVER = frozenset(sys.stdlib_module_names) | {"torch", "numpy", "pip", "setuptools", "sanp_targets", "sanp_runtime"}


def build_imported(name: str, args: Mapping[str, Any], known: Mapping[str, int]) -> nn.Module:
    """What the factory `name` builds: float32 parameters on the CPU, whatever the defaults of torch are.

    args: its keyword arguments. known: num_classes and such, passed as far as the factory names them as parameters (or
    takes any keyword, for num_classes) and args do not say otherwise; an argument that is None there is left out.
    Raises ConfigError for a path that cannot be imported, what is no factory of networks, and one that fails.
    """
    factory = _find(name)
    given = {key: value for key, value in _fitting(factory, known).items() if key not in args}
    given.update({key: value for key, value in args.items() if value is not None or key not in known})
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        network = factory(**given)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"model {name} failed with the arguments {given} ({type(error).__name__}: {_first_line(error)}), expected "
            "a network; correct model_args"
        ) from error
    finally:
        torch.set_default_dtype(kept)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model {name} made a {type(network).__name__}, expected a torch.nn.Module; return one")
    network = unwrapped(network)
    _check_whole(name, network)
    return network.cpu().float()


def _check_whole(name: str, network: nn.Module) -> None:
    """ConfigError for a network without Python code, or whose parameters have no values yet."""
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise ConfigError(
            f"model {name} made a network of torch.jit, which has no Python code to look into, expected the one that "
            "it was made from; return that, before torch.jit.script or trace"
        )
    for key, tensor in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(tensor):
            raise ConfigError(
                f"model {name} made a network with lazy layers, whose {key} has no shape yet, expected all shapes; "
                "call it once on a batch in the factory"
            )
        if tensor.is_meta:
            raise ConfigError(
                f"model {name} made a network on the device meta, whose {key} has no values, expected values; make it "
                "on the CPU, or fill it in the factory"
            )


def _find(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigError(f"model is {name!r}, expected package.module:factory; correct the path")
    if module_name.partition(".")[0] in _NEVER:
        raise ConfigError(
            f"model is {name!r}, which is no network of yours, expected a factory in a package that defines networks; "
            "write a function that returns one"
        )
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that no file here hides an installed package
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"model {name}: {module_name} cannot be imported ({type(error).__name__}: {_first_line(error)}), expected "
            "a module that is installed or in the current folder; correct the path, or set PYTHONPATH"
        ) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        near = [key for key, value in vars(module).items() if _is_factory(value) and not key.startswith("_")]
        shown = ", ".join(near[:8]) or "none"
        raise ConfigError(f"model {name}: {module_name} has no factory {attribute}; it has {shown}: correct the name")
    if not _is_factory(found):
        raise ConfigError(
            f"model {name} is no factory of networks, expected a class derived from torch.nn.Module, or a function in "
            "a module that imports torch; write such a function"
        )
    return found


def _is_factory(value: Any) -> bool:
    if inspect.isclass(value):
        return issubclass(value, nn.Module)
    if not inspect.isfunction(value) or value.__module__.partition(".")[0] in _NEVER:
        return False
    return any(item is torch or item is nn or _from_torch(item) for item in inspect.unwrap(value).__globals__.values())


def _from_torch(item: Any) -> bool:
    """Whether a global of a module is one of torch's own, or a network class."""
    return (inspect.ismodule(item) and item.__name__.partition(".")[0] == "torch") or (
        inspect.isclass(item) and issubclass(item, nn.Module)
    )


def _fitting(factory: Callable[..., Any], known: Mapping[str, int]) -> dict[str, int]:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}
    anything = any(item.kind is item.VAR_KEYWORD for item in parameters.values())
    return {key: value for key, value in known.items() if key in parameters or (anything and key == "num_classes")}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
