"""Channel groups that are known to be right: removing their units from this very network equals masking them."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sanp.data.batch import tensors
from sanp.pruning.dependencies import OUTPUT, dependencies
from sanp.pruning.groups import Groups
from sanp.pruning.removal import masked, remove
from sanp.tracing.trace import evaluation
from sanp_targets.errors import ConfigError


def channel_groups(network: nn.Module, example_input: Tensor) -> Groups:
    """The groups of a network whose removal has been tried; the others are in `untreated`, with the reason.

    The library follows channels by rules; a rule that does not fit an operation (channels that are padded, as in the
    shortcuts of type A, or a reshape with a fixed size) couples the wrong ones without a word. So a copy in float64
    with random weights loses a third of each group, and has to answer as the masked one does: all groups at once, and
    one by one if that fails. Raises ConfigError if no group is left.
    """
    found = dependencies(network, example_input)
    twin = _random_twin(network)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, *example_input.shape[1:]), generator=generator, dtype=torch.float64)
    trial = {
        name: torch.randperm(group.width, generator=generator)[: max(1, group.width // 3)]
        for name, group in found.rows.items()
        if group.width > 1
    }
    wrong: set[str] = set()
    if not _agree(twin, found, trial, x):
        wrong = {name for name, units in trial.items() if not _agree(twin, found, {name: units}, x)}
    return _checked(network, found, wrong)


def _checked(network: nn.Module, found: Groups, wrong: Iterable[str]) -> Groups:
    reason = "removing its channels changes more than masking them: an operation behind it mixes or counts channels"
    rows = {name: group for name, group in found.rows.items() if name not in wrong and group.width > 1}
    single = {name: "it has one channel" for name, group in found.rows.items() if group.width == 1}
    untreated = {**found.untreated, **single}
    untreated.update({layer: reason for name in wrong for layer in found.rows[name].layers})
    if not rows:
        # The last layer never can; any other reason says more.
        reasons = sorted(untreated.items(), key=lambda row: row[1] == OUTPUT)
        why = next((f"{layer}: {text}" for layer, text in reasons), "it has no convolution")
        raise ConfigError(
            f"no channel of {type(network).__name__} can be removed ({why}), expected a convolution whose output only "
            "this network's layers read; choose a method with gates"
        )
    return Groups(rows, untreated)


def _random_twin(network: nn.Module) -> nn.Module:
    """A copy in float64 on the CPU whose weights and statistics are all different, in evaluation mode."""
    twin = copy.deepcopy(network).cpu().double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in twin.state_dict().items():
            if value.is_floating_point():
                spread = torch.rand(value.shape, generator=generator, dtype=torch.float64)
                scale = 1.0 if value.dim() < 2 else 2.0 / max(1, value[0].numel()) ** 0.5
                value.copy_(spread + 0.5 if name.endswith("running_var") else (spread - 0.5) * scale)
    return twin


def _agree(twin: nn.Module, groups: Groups, removed: dict[str, Tensor], x: Tensor) -> bool:
    """Whether removal gives the outputs of the mask; False as well if the smaller network does not run."""
    try:
        with evaluation(twin), masked(twin, groups, removed):
            expected = twin(x)
        small = copy.deepcopy(twin)
        remove(small, groups, removed)
        with evaluation(small):
            found = small(x)
    except (RuntimeError, ValueError, IndexError, ConfigError):
        return False
    pairs = list(zip(tensors(found), tensors(expected)))
    return bool(pairs) and all(_equal(one, other) for one, other in pairs)


def _equal(found: Tensor, expected: Tensor) -> bool:
    size = float(expected.abs().max().clamp_min(1e-30)) if expected.numel() else 0.0
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-7, atol=1e-9 * size)
