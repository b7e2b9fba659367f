"""One process or several (torchrun): who am I, and how values are shared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from sanp_targets.errors import ConfigError


@dataclass(frozen=True)
class Processes:
    """This process's rank, the number of processes, and the device it trains on."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The module to call in training: DistributedDataParallel when there is more than one process."""
        if self.world == 1 or not any(parameter.requires_grad for parameter in model.parameters()):
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a tensor over all processes."""
        if self.world > 1:
            value = value.clone()
            distributed.all_reduce(value)
            value /= self.world
        return value

    def gathered(self, value: Any) -> list[Any]:
        """A picklable value of every process, in the order of their ranks."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        distributed.all_gather_object(found, value)
        return found

    def alike(self, module: nn.Module) -> None:
        """Give all processes the buffers of the first one, such as statistics that were measured on its samples."""
        if self.world > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all of them must call it."""
        if self.world == 1:
            return flag
        value = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(value)
        return bool(value > 0)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the process group that torchrun announced, if any; leaves it afterwards.

    Raises ConfigError for a device that this machine does not have.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = resolve_device(device)
    if world == 1:
        yield Processes(0, 1, place)
        return
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    joined = not distributed.is_initialized()
    if joined:
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, place)
    finally:
        if joined:
            distributed.destroy_process_group()


def resolve_device(device: str) -> torch.device:
    """auto = the first GPU if there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device is {device!r}, expected auto, cpu, cuda or cuda:<index>; correct it") from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device is {device!r} and this machine has {torch.cuda.device_count()} CUDA devices; use cpu or auto"
        )
    if place.type not in ("cpu", "cuda"):
        raise ConfigError(f"device is {device!r}, expected auto, cpu, cuda or cuda:<index>; correct it")
    return place
