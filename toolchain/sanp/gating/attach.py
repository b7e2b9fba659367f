"""Give every convolution with batch norm of a network its gate."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn

from sanp.gating.followers import find_followers
from sanp.gating.following_conv import FollowingConv
from sanp.gating.gated_conv import GatedConv
from sanp.tracing.gated_layer import GatedLayer, PixelGatedLayer
from sanp.tracing.trace import trace
from sanp_runtime.network.support import Concat, Dense, Gate, Support, gates_of
from sanp_targets.errors import ConfigError


@dataclass(frozen=True)
class SkippedLayer:
    """A convolution that got no gate, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class GatingReport:
    """What was gated, and by which method: kept as `network.gating` and written into checkpoints.

    gated: module paths of the convolutions with a gate; followers: convolution that shares a decision -> the gated ones
    that decide for it; norms: convolution of either kind -> its batch norm in the network without gates.
    """

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    gated: tuple[str, ...] = ()
    followers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    norms: dict[str, str] = field(default_factory=dict)
    skipped: tuple[SkippedLayer, ...] = ()


def attach_gates(
    model: nn.Module,
    example_input: Tensor,
    make: Callable[[nn.Conv2d, nn.BatchNorm2d], GatedLayer | PixelGatedLayer | str],
    method: str,
    options: Mapping[str, Any],
    share: bool = False,
    leave_out: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> nn.Module:
    """A copy of `model` in which every Conv2d that only a BatchNorm2d reads has a gate; `model` is not changed.

    make(conv, norm) builds the layer that takes their place, or says why the convolution cannot have one; method and
    options say what made it, for the report. share: depthwise convolutions follow the gates of the layers that feed
    them, where `find_followers` says so. leave_out: convolutions that get no gate, and why; only: those that get one.
    Raises ConfigError for a network that torch.fx cannot trace, that has gates already, or nothing to gate.
    """
    gated = _copy(model)
    if any(isinstance(module, (GatedLayer, PixelGatedLayer)) for module in gated.modules()):
        raise ConfigError("the network is gated already, expected plain convolutions; pass the original network")
    pairs, skipped = find_pairs(gated, example_input)
    refused = _refused(pairs, leave_out or {}, only)
    layers: dict[str, GatedLayer | PixelGatedLayer] = {}
    followers: dict[str, Support] = {}
    traced = trace(gated, example_input) if share else None
    while True:
        pairs = {name: norm for name, norm in pairs.items() if name not in refused}
        followers = {} if traced is None else find_followers(traced, pairs)
        fresh = {}
        for conv_name in [name for name in pairs if name not in followers and name not in layers]:
            conv, norm = gated.get_submodule(conv_name), gated.get_submodule(pairs[conv_name])
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            layer = make(conv, norm)
            if isinstance(layer, str):
                fresh[conv_name] = layer
            else:
                layers[conv_name] = layer.to(conv.weight.device).train(conv.training)
        if not fresh:
            break
        refused.update(fresh)  # what would have followed these decides for itself
    skipped += [SkippedLayer(name, reason) for name, reason in refused.items()]
    if not pairs:
        reasons = "; ".join(f"{row.name}: {row.reason}" for row in skipped[:3]) or "it has no Conv2d"
        raise ConfigError(
            f"{type(model).__name__} has no layer to gate ({reasons}), expected Conv2d modules that are followed by "
            "BatchNorm2d alone; add batch norm or split the shared output"
        )
    for conv_name, layer in layers.items():
        conv, norm = gated.get_submodule(conv_name), gated.get_submodule(pairs[conv_name])
        _replace(gated, norm, nn.Identity())  # before the layer is in place, because the layer holds the norm too
        _replace(gated, conv, layer)
    _add_followers(gated, pairs, followers)
    own = tuple(name for name in pairs if name not in followers)
    leaders = {name: gates_of(followers[name]) for name in pairs if name in followers}
    report = GatingReport(method, dict(options), own, leaders, pairs, tuple(skipped))
    gated.gating = report  # type: ignore[assignment]
    return gated


def _refused(pairs: Mapping[str, str], leave_out: Mapping[str, str], only: Collection[str] | None) -> dict[str, str]:
    """Convolutions that could have a gate and shall have none, and why; ConfigError for a name that has no place."""
    unknown = sorted(set(only or ()) - set(pairs))
    if unknown:
        raise ConfigError(
            f"layer {unknown[0]!r} cannot be gated, expected some of {', '.join(pairs)}; correct the option layers"
        )
    others = {} if only is None else {name: "it is not among the layers to gate" for name in pairs if name not in only}
    return {**others, **{name: reason for name, reason in leave_out.items() if name in pairs}}


def _add_followers(gated: nn.Module, pairs: Mapping[str, str], followers: Mapping[str, Support]) -> None:
    """Put the layers in place that share the decisions of gated ones, which are in place already."""
    for conv_name, support in followers.items():
        conv, norm = gated.get_submodule(conv_name), gated.get_submodule(pairs[conv_name])
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        parts = support.parts if isinstance(support, Concat) else (support,)
        leaders: list[GatedConv | int] = []
        for part in parts:
            assert isinstance(part, (Gate, Dense))
            leader = part.channels if isinstance(part, Dense) else gated.get_submodule(part.layer)
            assert isinstance(leader, (GatedConv, int))
            leaders.append(leader)
        _replace(gated, norm, nn.Identity())
        _replace(gated, conv, FollowingConv(conv, norm, leaders).train(conv.training))


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise ConfigError(
            f"{type(model).__name__} cannot be copied ({str(error).splitlines()[0]}), expected a network whose weights "
            "are parameters; remove old-style weight norm (torch.nn.utils.remove_weight_norm) first"
        ) from error


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` in every place where `old` is registered: a module may have several names, and forward uses any."""
    for name in [name for name, module in model.named_modules(remove_duplicate=False) if module is old]:
        model.set_submodule(name, new)


def gated_layers(model: nn.Module) -> dict[str, GatedConv]:
    """Layer name -> gated convolution, in module order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, GatedConv)}


def gate_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters of the gates, none of the backbone."""
    return [parameter for layer in gated_layers(model).values() for parameter in layer.gate.parameters()]


def find_pairs(model: nn.Module, example_input: Tensor) -> tuple[dict[str, str], list[SkippedLayer]]:
    """Convolution -> batch norm module paths in execution order, and the convolutions that cannot be gated."""
    traced = trace(model, example_input)
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    pairs: dict[str, str] = {}
    skipped: dict[str, SkippedLayer] = {}
    for node in traced.graph.nodes:
        if node.op != "call_module" or not isinstance(traced.get_submodule(str(node.target)), nn.Conv2d):
            continue
        name = str(node.target)
        reason = _obstacle(traced, node, calls)
        if reason is None:
            pairs[name] = str(next(iter(node.users)).target)
        else:
            skipped[name] = SkippedLayer(name, reason)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and not calls[name]:
            own = type(module) is not nn.Conv2d
            reason = "it is a subclass with its own forward pass" if own else "the forward pass does not use it"
            skipped[name] = SkippedLayer(name, reason)
    return pairs, list(skipped.values())


def _obstacle(traced: fx.GraphModule, node: fx.Node, calls: Counter[str]) -> str | None:
    """Why this convolution cannot be gated, or None."""
    conv = traced.get_submodule(str(node.target))
    assert isinstance(conv, nn.Conv2d)
    if calls[str(node.target)] > 1:
        return f"it is used {calls[str(node.target)]} times with shared weights"
    if conv.padding_mode != "zeros":
        return f"its padding mode is {conv.padding_mode!r}; only zero padding can be exported"
    if _has_hooks(conv):
        return "it has forward hooks, which an exported convolution would not run"
    if len(node.users) != 1:
        return f"its output is read by {len(node.users)} operations, not by one batch norm"
    user = next(iter(node.users))
    norm = traced.get_submodule(str(user.target)) if user.op == "call_module" else None
    if not isinstance(norm, nn.BatchNorm2d):
        return "its output does not go into a BatchNorm2d module"
    if _has_hooks(norm):
        return f"its batch norm {user.target} has forward hooks, which an exported convolution would not run"
    if any(_reads(traced, str(name)) for name in (node.target, user.target)):
        return "the forward pass also reads its parameters directly"
    if calls[str(user.target)] > 1:
        return f"its batch norm {user.target} is used {calls[str(user.target)]} times"
    if not norm.track_running_stats or norm.running_mean is None:
        return f"its batch norm {user.target} keeps no running statistics and cannot be folded"
    return None


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _reads(traced: fx.GraphModule, name: str) -> bool:
    """Whether the network reads a parameter or buffer of this module outside of calling it."""
    return any(node.op == "get_attr" and str(node.target).startswith(f"{name}.") for node in traced.graph.nodes)
