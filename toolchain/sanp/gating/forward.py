"""The one way a network runs on a batch."""

from __future__ import annotations

from torch import Tensor, nn

from sanp.data.batch import Batch
from sanp.gating.policy import GatePolicy


def tell(network: nn.Module, batch: Batch) -> None:
    """Give every gate the batch that comes next; only gates that know more than a device will use it."""
    for module in network.modules():
        if isinstance(module, GatePolicy):
            module.tell(batch)


def forward(network: nn.Module, batch: Batch, called: nn.Module | None = None) -> Tensor:
    """Logits [N, classes] of a batch. called: the module to call instead, such as a wrapper around `network`."""
    if batch.modes is not None:
        tell(network, batch)
    return (called or network)(batch.images)
