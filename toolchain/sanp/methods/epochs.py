"""A given number of epochs for a method whose stages have lengths of their own: which options are lengths, and to what.

Methods that are compared must train equally long, and each of them names its stages as it likes. An option is a length
if one more of it makes the run one epoch longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanp.methods.registry import create
from sanp.settings.train import TrainSettings
from sanp_targets.errors import ConfigError, SanpError

_WORD = "epochs"  # part of the name of every option that can be a length


def own_epochs(settings: TrainSettings) -> tuple[int, bool]:
    """Epochs of the stages that follow the backbone, and whether a backbone comes before them.

    A method without such a stage, or with nothing else, trains from random weights: then all epochs are its own.
    """
    stages = create(settings.method, settings.options).stages(settings)
    after = [stage for stage in stages if not stage.backbone]
    if len(after) in (0, len(stages)):
        return sum(stage.epochs for stage in stages), False
    return sum(stage.epochs for stage in after), True


def with_epochs(settings: TrainSettings, total: int) -> TrainSettings:
    """The settings with the method's lengths scaled so that all stages together take `total` epochs.

    `pretrain_epochs` is kept where a backbone comes first, and becomes `total` where there is none. Options that are
    given already stay as they are. Raises ConfigError if the lengths cannot be met.
    """
    _, pretrained = own_epochs(settings)
    wanted = total - settings.pretrain_epochs if pretrained else total
    if not pretrained:
        settings = settings.model_copy(update={"pretrain_epochs": total})
    lengths = _lengths(settings)
    if lengths:
        rest = own_epochs(settings)[0] - sum(lengths.values())  # of stages whose lengths were given
        settings = _given(settings, _scaled(lengths, max(0, wanted - rest)))
    found = own_epochs(settings)[0]
    if found != wanted:
        raise ConfigError(
            f"method {settings.method} trains {found} epochs {'after the backbone' if pretrained else 'in all'}, "
            f"expected {wanted}; give it other lengths, or change the epochs of all"
        )
    return settings


def _lengths(settings: TrainSettings) -> dict[str, int]:
    """Option -> its default, for the options that lengthen the run epoch by epoch and were not given."""
    method, before = create(settings.method, settings.options), own_epochs(settings)[0]
    found = {}
    for name, value in method.settings:
        if _WORD not in name or type(value) is not int or name in settings.options:
            continue
        try:
            longer = own_epochs(_given(settings, {name: value + 1}))[0]
        except SanpError:
            continue
        if longer == before + 1:
            found[name] = value
    return found


def _scaled(lengths: Mapping[str, int], total: int) -> dict[str, int]:
    """The lengths in their proportions with this sum (largest remainders); none is zero that was not, if possible."""
    whole = sum(lengths.values())
    exact = {name: total * value / whole if whole else total / len(lengths) for name, value in lengths.items()}
    least = 1 if total >= len(lengths) else 0
    rounded = {name: max(int(value), least if lengths[name] else 0) for name, value in exact.items()}
    rest = total - sum(rounded.values())
    for name in sorted(exact, key=lambda key: exact[key] - int(exact[key]), reverse=True)[: max(rest, 0)]:
        rounded[name] += 1
    longest = max(rounded, key=lambda key: rounded[key])
    rounded[longest] += min(total - sum(rounded.values()), 0)
    return rounded


def _given(settings: TrainSettings, options: Mapping[str, Any]) -> TrainSettings:
    return settings.model_copy(update={"options": {**settings.options, **options}})
