"""The architecture that a file holds: how many channels each layer has, and what is gated; and back to a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sanp.gating.attach import GatingReport, SkippedLayer
from sanp.methods.registry import create, find
from sanp.pruning.layer_width import axes_of, is_depthwise, set_width, width_of
from sanp.tracing.trace import evaluation
from sanp_targets.errors import InputError, SanpError

_WIDEST = 8192  # a damaged number must not make us allocate terabytes


def describe(network: nn.Module) -> dict[str, Any]:
    """Plain JSON: "gating", the report of `gate` or None, and "widths", layer -> [input channels, output channels].

    Layers have the names of the network without gates, also where a gate has taken their place.
    """
    report = getattr(network, "gating", None)
    if not isinstance(report, GatingReport):
        return {"gating": None, "widths": _widths(network, {})}
    return {"gating": asdict(report), "widths": _widths(network, _plain_names(report))}


def rebuild(where: Path, plain: nn.Module, description: Mapping[str, Any], example_input: Tensor) -> nn.Module:
    """The described network from a fresh plain one, which is changed: layers set to their widths, then gated.

    The weights of changed layers are zeros: load a state. where: the file, for messages. Raises InputError, naming the
    layer, for widths that do not fit.
    """
    try:
        return _rebuild(plain, description, example_input)
    except (SanpError, KeyError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, SanpError) else f"{type(error).__name__}: {error}"
        raise InputError(f"{where} does not fit the network it describes: {reason}") from error


def _rebuild(plain: nn.Module, description: Mapping[str, Any], example_input: Tensor) -> nn.Module:
    stated = description["widths"]
    if not isinstance(stated, dict):
        raise InputError(f"widths are {stated!r}, expected a table of layers; save the network again")
    own = _widths(plain, {})
    missing = sorted(set(own) - set(stated))
    if missing:
        raise InputError(f"the width of layer {missing[0]} is not stated, expected all layers; save the network again")
    wider = [name for name, width in own.items() if _is_wider(stated[name], width)]
    if wider:
        raise InputError(
            f"layer {wider[0]} has the width {stated[wider[0]]} and the backbone {own[wider[0]]}, expected at most "
            "that: channels are only ever removed"
        )
    _resize(plain, {name: stated[name] for name in own}, own)
    _check_channels(plain, example_input)
    gating = description["gating"]
    if gating is None:
        extra = sorted(set(stated) - set(own))
        if extra:
            raise InputError(f"layer {extra[0]} is stated and the network has none of that name; save it again")
        return plain
    network = create(gating["method"], _options(gating)).attach(plain, example_input)
    report: GatingReport = network.gating  # type: ignore[assignment]
    if not gates_as_stated(report, gating):
        raise InputError(
            f"{len(gating['gated'])} gated layers are stated and gating finds {len(report.gated)} or other ones; "
            "load it with the version that saved it"
        )
    skipped = tuple(SkippedLayer(**row) for row in gating.get("skipped", ()))
    network.gating = replace(report, skipped=skipped)  # type: ignore[assignment]
    names = _plain_names(report)
    _resize(network, {name: width for name, width in stated.items() if name not in own}, _widths(network, names))
    return network


def gates_as_stated(report: GatingReport, gating: Mapping[str, Any]) -> bool:
    """Whether a network has the gates that a file states, and the layers that follow them."""
    return list(report.gated) == list(gating["gated"]) and set(report.followers) == set(gating.get("followers", ()))


def _options(gating: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method as a file states them; one from before decisions were shared has a gate per layer."""
    options = dict(gating["options"])
    if "followers" not in gating and "share" in find(gating["method"]).Settings.model_fields:
        options["share"] = "none"
    return options


def narrowed(network: nn.Module, description: Mapping[str, Any]) -> str | None:
    """The first layer of `network` whose width is not the stated one, or None."""
    found = describe(network)["widths"]
    stated = description["widths"]
    return next((name for name in {**found, **stated} if found.get(name) != stated.get(name)), None)


def _is_wider(stated: Any, width: list[int]) -> bool:
    return isinstance(stated, list) and any(type(a) is int and a > b for a, b in zip(stated, width))


def _plain_names(report: GatingReport) -> dict[str, str]:
    """Module path in the gated network -> in the plain one, for convolutions and norms behind gates."""
    names = {}
    for conv, norm in report.norms.items():
        names[f"{conv}.conv"] = conv
        if norm:
            names[f"{conv}.norm"] = norm
    return names


def _widths(network: nn.Module, names: Mapping[str, str]) -> dict[str, list[int]]:
    rows = ((names.get(path, path), width_of(module)) for path, module in network.named_modules())
    return {name: list(width) for name, width in rows if width is not None}


def _resize(network: nn.Module, stated: Mapping[str, Any], now: Mapping[str, list[int]]) -> None:
    """Set layers to stated widths; their values are zeros afterwards."""
    for name, width in stated.items():
        if name not in now:
            raise InputError(f"layer {name} is stated and the network has none of that name; save it again")
        module = network.get_submodule(name)
        whole = isinstance(width, list) and len(width) == 2 and all(type(c) is int and 0 < c <= _WIDEST for c in width)
        same = is_depthwise(module) or isinstance(module, nn.modules.batchnorm._BatchNorm)
        if not whole or (same and width[0] != width[1]):
            raise InputError(
                f"layer {name} has the width {width!r}, expected its input and output channels, 1 to {_WIDEST}"
                f"{', which are equal' if same else ''}; save the network again"
            )
        if width == now[name]:
            continue
        c_in, c_out = width
        groups = module.groups if isinstance(module, nn.Conv2d) and not is_depthwise(module) else 1
        if c_in % groups or c_out % groups:
            raise InputError(f"layer {name} has the width {width}, expected multiples of its {groups} groups")
        tensors = {}
        for key, (out_axis, in_axis) in axes_of(module).items():
            shape = list(getattr(module, key).shape)
            shape[out_axis] = c_out
            if in_axis is not None:
                shape[in_axis] = c_in // groups
            tensors[key] = getattr(module, key).new_zeros(shape)
        set_width(module, c_in, c_out, tensors)


def _check_channels(network: nn.Module, example_input: Tensor) -> None:
    """Run the network once; InputError naming the layer that gets other channels than it takes."""
    last = ["the input"]

    def check(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            width, x = width_of(module), args[0]
            axis = -1 if isinstance(module, nn.Linear) else 1
            if width is not None and x.shape[axis] != width[0]:
                raise InputError(
                    f"layer {name} takes {width[0]} channels and gets {x.shape[axis]}, expected widths that fit "
                    "together; save the network again"
                )
            last[0] = name

        return hook

    hooks = [
        module.register_forward_pre_hook(check(name))
        for name, module in network.named_modules()
        if width_of(module) is not None
    ]
    try:
        with evaluation(network):
            network(example_input)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"the widths do not fit together behind layer {last[0]} ({str(error).splitlines()[0]}); save it again"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
