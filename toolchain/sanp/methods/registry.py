"""The methods by name: one line each. Nothing outside this folder knows the name of a method."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sanp.methods.base import Method
from sanp.settings.base import from_nested, no_setting
from sanp.settings.train import TrainSettings
from sanp_targets.errors import ConfigError

METHODS = {
    "sanp": "sanp.methods.sanp:Sanp",
    "static": "sanp.methods.static:Static",
    "fixed-k": "sanp.methods.fixed_k:FixedK",
    "fbs": "sanp.methods.fbs:Fbs",
    "channel-gating": "sanp.methods.channel_gating:ChannelGating",
    "random": "sanp.methods.random:Random",
    "oracle": "sanp.methods.oracle:Oracle",
    "l1": "sanp.methods.l1:L1",
    "slimming": "sanp.methods.slimming:Slimming",
    "fcp": "sanp.methods.fcp:Fcp",
    "laasp": "sanp.methods.laasp:Laasp",
    "dense": "sanp.methods.dense:Dense",
    "narrow": "sanp.methods.narrow:Narrow",
}


def find(name: str) -> type[Method]:
    """The class behind a name; ConfigError for an unknown one."""
    if name not in METHODS:
        raise ConfigError(f"method {name!r} is not known, expected one of {', '.join(METHODS)}; correct the name")
    module, _, attribute = METHODS[name].partition(":")
    found: type[Method] = getattr(importlib.import_module(module), attribute)
    return found


def create(name: str, options: Mapping[str, Any]) -> Method:
    """A method with these options; ConfigError, naming the key, for an option that it does not have or accept."""
    kind = find(name)
    _refuse_others(name, options)
    return kind(name, from_nested(kind.Settings, options, f"method {name}"))


def gate(model: nn.Module, example_input: Tensor, method: str = "sanp", **options: Any) -> nn.Module:
    """A float32 copy of `model` in which the convolutions inside have gates; `model` is not changed.

    A Conv2d that only a BatchNorm2d reads is gated together with it, one without a norm alone. Wrappers such as
    DataParallel are taken off.

    example_input: a tensor [N, C, H, W] that the network accepts. method: one of `METHODS`; options: those of its
    settings (reduction, hidden_min, noise, threshold, standardise ...). The layer names are the module paths of the
    convolutions. `model.gating` lists the gated and the skipped layers, with reasons, and which layers follow which.
    share: "depthwise" (default) lets depthwise convolutions share the decision of the layers that feed them, "none"
    gives every layer a gate. layers: "all", "inner" (all but linear
        bottlenecks), "auto" (those whose gate can pay on `target`), or names and commas.
    Raises ConfigError for an unknown method or option, a method without gates, a network that torch.fx cannot trace,
    or nothing to gate.
    """
    made = create(method, options)
    if not made.gates:
        raise ConfigError(f"method {method} has no gates, expected one that has; train with it instead")
    return made.attach(model, example_input)


def train_settings(**values: Any) -> TrainSettings:
    """Training settings from values of both kinds: those that every run has, and those of the method.

    `train_settings(budget=0.5, noise=0.1)` is `TrainSettings(budget=0.5, options={"noise": 0.1})`, checked whole.
    Raises ConfigError that names the key.
    """
    common = {key: value for key, value in values.items() if key in TrainSettings.model_fields}
    own = {key: value for key, value in values.items() if key not in common}
    kind = find(common.get("method", TrainSettings.model_fields["method"].default))
    unknown = sorted(set(own) - set(kind.Settings.model_fields))
    if unknown:
        _refuse_others(common.get("method", TrainSettings.model_fields["method"].default), own)
        raise ConfigError(no_setting("[train]", unknown[0], [*TrainSettings.model_fields, *kind.Settings.model_fields]))
    if common.get("budget") is not None and common.get("budget_latency") is not None:
        raise ConfigError(
            f"budget is {common['budget']} and budget_latency {common['budget_latency']}, expected one of them; remove "
            "one: a run has one goal"
        )
    settings = TrainSettings.checked(**{**common, "options": {**common.get("options", {}), **own}})
    create(settings.method, settings.options)
    return settings


def _refuse_others(name: str, options: Mapping[str, Any]) -> None:
    """ConfigError for an option that this method lacks and others have: a near name would be a wrong guess."""
    for key in sorted(set(options) - set(find(name).Settings.model_fields)):
        owners = [other for other in METHODS if key in find(other).Settings.model_fields]
        if owners:
            raise ConfigError(
                f"method {name} has no setting {key!r}, which is one of {', '.join(owners)}; remove it, or choose "
                "that method"
            )
