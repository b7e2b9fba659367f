"""Give the convolutions of a network their gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from sanp.gating.bottlenecks import linear_bottlenecks
from sanp.gating.followers import find_followers
from sanp.gating.following_conv import FollowingConv
from sanp.gating.gated_conv import GatedConv
from sanp.gating.norms import divided
from sanp.gating.prepare import float32_surroundings, prepared, replace_module
from sanp.tracing.gated_layer import GatedLayer, PixelGatedLayer
from sanp.tracing.trace import shape_of, trace
from sanp_runtime.network.support import Concat, Dense, Gate, Support, gates_of
from sanp_targets.errors import ConfigError

_BOTTLENECK = "it is a linear bottleneck: narrow, without an activation, and all that later blocks see of earlier ones"


@dataclass(frozen=True)
class SkippedLayer:
    """A convolution that got no gate, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class GatingReport:
    """What was gated, and by which method: kept as `network.gating` and written into checkpoints.

    gated: module paths of the convolutions with a gate; followers: convolution that shares a decision -> the gated ones
    that decide for it; norms: convolution of either kind -> its batch norm in the network without gates, "" for none.
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
    make: Callable[[nn.Conv2d, nn.BatchNorm2d | nn.Identity], GatedLayer | PixelGatedLayer | str],
    method: str,
    options: Mapping[str, Any],
    share: bool = False,
    leave_out: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    bottlenecks: bool = True,
) -> nn.Module:
    """A float32 copy of `model` without wrappers in which convolutions have gates; `model` is not changed.

    A Conv2d that only a BatchNorm2d reads is gated together with it; one without a norm is gated alone, unless its
    output is that of the network. make(conv, norm) builds the layer that takes their place (norm is an Identity where
    there is none), or says why the convolution cannot have one; method and options say what made it, for the report.
    share: depthwise convolutions follow the gates of the layers that feed them, where `find_followers` says so.
    leave_out: convolutions that get no gate, and why; only: those that get one. bottlenecks: whether linear bottlenecks
    get one.
    Raises ConfigError for a network that torch.fx cannot trace, that has gates already, or nothing to gate.
    """
    with float32_surroundings():
        gated = prepared(model)
        if any(isinstance(module, (GatedLayer, PixelGatedLayer)) for module in gated.modules()):
            raise ConfigError("the network is gated already, expected plain convolutions; pass the original network")
        return _attach(gated, example_input.float(), make, method, options, share, leave_out or {}, only, bottlenecks)


def _attach(
    gated: nn.Module,
    example_input: Tensor,
    make: Callable[[nn.Conv2d, nn.BatchNorm2d | nn.Identity], GatedLayer | PixelGatedLayer | str],
    method: str,
    options: Mapping[str, Any],
    share: bool,
    leave_out: Mapping[str, str],
    only: Collection[str] | None,
    bottlenecks: bool,
) -> nn.Module:
    traced = trace(gated, example_input)
    pairs, skipped = find_pairs(traced, gated)
    kept_open = [] if bottlenecks else linear_bottlenecks(traced, pairs)
    refused = _refused(pairs, {**dict.fromkeys(kept_open, _BOTTLENECK), **leave_out}, only)
    layers: dict[str, GatedLayer | PixelGatedLayer] = {}
    followers: dict[str, Support] = {}
    while True:
        pairs = {name: norm for name, norm in pairs.items() if name not in refused}
        followers = find_followers(traced, pairs) if share else {}
        fresh = {}
        for conv_name in [name for name in pairs if name not in followers and name not in layers]:
            conv = gated.get_submodule(conv_name)
            assert isinstance(conv, nn.Conv2d)
            layer = make(conv, _norm_and_rest(gated, pairs[conv_name])[0])
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
            f"{type(gated).__name__} has no layer to gate ({reasons}), expected Conv2d modules inside the network; "
            "leave it as it is, or make what it computes a Conv2d"
        )
    for conv_name, layer in layers.items():
        _place(gated, conv_name, pairs[conv_name], layer)
    _add_followers(gated, pairs, followers)
    own = tuple(name for name in pairs if name not in followers)
    leaders = {name: gates_of(followers[name]) for name in pairs if name in followers}
    report = GatingReport(method, dict(options), own, leaders, pairs, tuple(skipped))
    gated.gating = report  # type: ignore[assignment]
    return gated


def _norm_and_rest(network: nn.Module, name: str) -> tuple[nn.BatchNorm2d | nn.Identity, nn.Module]:
    """The norm to fold into a convolution, and what stays in its place: the activation of a norm that has one."""
    if not name:
        return nn.Identity(), nn.Identity()
    norm = network.get_submodule(name)
    assert isinstance(norm, nn.BatchNorm2d)
    parts = divided(norm)
    assert parts is not None, "such a norm is an obstacle"
    return parts


def _place(gated: nn.Module, conv_name: str, norm_name: str, layer: nn.Module) -> None:
    """Put a layer where its convolution was, and what the norm computes after itself where the norm was."""
    conv = gated.get_submodule(conv_name)
    if norm_name:  # before the layer is in place, because the layer holds the norm too
        replace_module(gated, gated.get_submodule(norm_name), _norm_and_rest(gated, norm_name)[1])
    replace_module(gated, conv, layer)


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
        conv, norm = gated.get_submodule(conv_name), _norm_and_rest(gated, pairs[conv_name])[0]
        assert isinstance(conv, nn.Conv2d)
        parts = support.parts if isinstance(support, Concat) else (support,)
        leaders: list[GatedConv | int] = []
        for part in parts:
            assert isinstance(part, (Gate, Dense))
            leader = part.channels if isinstance(part, Dense) else gated.get_submodule(part.layer)
            assert isinstance(leader, (GatedConv, int))
            leaders.append(leader)
        _place(gated, conv_name, pairs[conv_name], FollowingConv(conv, norm, leaders).train(conv.training))


def gated_layers(model: nn.Module) -> dict[str, GatedConv]:
    """Layer name -> gated convolution, in module order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, GatedConv)}


def gate_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters of the gates, none of the backbone."""
    return [parameter for layer in gated_layers(model).values() for parameter in layer.gate.parameters()]


def find_pairs(traced: fx.GraphModule, model: nn.Module) -> tuple[dict[str, str], list[SkippedLayer]]:
    """Convolution -> batch norm module paths in execution order, "" for none, and the convolutions without a gate."""
    calls = Counter(str(node.target) for node in traced.graph.nodes if node.op == "call_module")
    pairs: dict[str, str] = {}
    skipped: dict[str, SkippedLayer] = {}
    for node in traced.graph.nodes:
        if node.op != "call_module" or not isinstance(traced.get_submodule(str(node.target)), nn.Conv2d):
            continue
        name = str(node.target)
        norm = _norm_after(traced, node)
        reason = _obstacle(traced, node, calls) or (
            _bare_obstacle(traced, node) if norm is None else _norm_obstacle(traced, norm, calls)
        )
        if reason is None:
            pairs[name] = "" if norm is None else norm
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
    if _reads(traced, str(node.target)):
        return "the forward pass also reads its parameters directly"
    return None


def _norm_after(traced: fx.GraphModule, node: fx.Node) -> str | None:
    """The batch norm that alone reads a convolution."""
    user = next(iter(node.users)) if len(node.users) == 1 else None
    name = str(user.target) if user is not None and user.op == "call_module" else ""
    return name if name and isinstance(traced.get_submodule(name), nn.BatchNorm2d) else None


def _norm_obstacle(traced: fx.GraphModule, name: str, calls: Counter[str]) -> str | None:
    """Why this batch norm cannot be folded into the convolution before it, or None."""
    norm = traced.get_submodule(name)
    assert isinstance(norm, nn.BatchNorm2d)
    if _has_hooks(norm):
        return f"its batch norm {name} has forward hooks, which an exported convolution would not run"
    if _reads(traced, name):
        return "the forward pass also reads its parameters directly"
    if calls[name] > 1:
        return f"its batch norm {name} is used {calls[name]} times"
    if not norm.track_running_stats or norm.running_mean is None:
        return f"its batch norm {name} keeps no running statistics and cannot be folded"
    if divided(norm) is None:
        return f"its batch norm {name} is a {type(norm).__name__}, whose forward pass does more than its modules say"
    return None


_OTHER_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
_LAYER_CALLS: tuple[object, ...] = (F.conv2d, torch.conv2d, F.linear, torch.matmul)


# What a layer norm over channels has in front of it, where channels are not the last axis.
_MOVES = ("permute", "transpose", "flatten", "reshape", "view", "contiguous", "float", "to")


def _readers(node: fx.Node) -> list[fx.Node]:
    """Who reads a tensor, also behind a change of its layout or type."""
    found, pending = [], list(node.users)
    while pending:
        user = pending.pop()
        moves = user.op == "call_method" and user.target in _MOVES
        moves |= user.target in (torch.permute, torch.transpose, torch.flatten, torch.reshape)
        pending.extend(user.users if moves else ())
        found.append(user)
    return found


def _bare_obstacle(traced: fx.GraphModule, node: fx.Node) -> str | None:
    """Why a convolution without a batch norm of its own cannot be gated alone, or None.

    A gate may close any channel that the network goes on to look at: the product with the scale is what a device skips.
    But the network's answers, and what decides about whole channels (a 1x1 map), have to stay.
    """
    shape, conv = shape_of(node), traced.get_submodule(str(node.target))
    others = (module for module in traced.modules() if module is not conv)
    if any(getattr(module, "weight", None) is conv.weight for module in others):
        return "another layer has the same weights, which are then one constant of the exported file"
    if shape is None or len(shape) != 4 or shape[2:] == (1, 1):
        return "it works on a map of one pixel, where there is nothing to gain"
    for user in _readers(node):
        module = traced.get_submodule(str(user.target)) if user.op == "call_module" else None
        if isinstance(module, _OTHER_NORMS) or user.target in (F.layer_norm, F.group_norm, F.instance_norm):
            kind = type(module).__name__ if module is not None else "group or layer norm"
            return f"its output goes into a {kind}, which mixes or rescales channels: only a batch norm can be folded"
    pending, seen = list(node.users), set(node.users)
    while pending:
        current = pending.pop()
        if current.op == "output":
            return "its output is an output of the network, and no layer comes in between"
        module = traced.get_submodule(str(current.target)) if current.op == "call_module" else None
        weight = getattr(module, "weight", None)
        if (isinstance(weight, Tensor) and weight.dim() > 1) or current.target in _LAYER_CALLS:
            continue
        pending.extend(user for user in current.users if user not in seen)
        seen.update(current.users)
    return None


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _reads(traced: fx.GraphModule, name: str) -> bool:
    """Whether the network reads a parameter or buffer of this module outside of calling it."""
    return any(node.op == "get_attr" and str(node.target).startswith(f"{name}.") for node in traced.graph.nodes)
