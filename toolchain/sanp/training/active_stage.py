"""A stage at work: its network, optimizer and task, made again whenever the architecture changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from sanp.methods.stage import Context, Length, Stage
from sanp.training.processes import Processes


class ActiveStage:
    """One stage of a run. network: as it is now; called: what to call in training (DDP with several processes)."""

    def __init__(self, stage: Stage, context: Context, length: Length, processes: Processes) -> None:
        self.stage, self.length, self.processes = stage, length, processes
        self._build(context, {})

    def _build(self, context: Context, momentum: Mapping[str, Tensor]) -> None:
        train, self.context = context.train, context
        self.network = context.network
        self.task = self.stage.task(context, self.length)
        self.groups = self.stage.groups(self.network)
        self.network.requires_grad_(False)
        for group in self.groups:
            for parameter in group.parameters:
                parameter.requires_grad_(True)
        rows = [{"params": row.parameters, "scale": row.scale, "weight_decay": row.weight_decay} for row in self.groups]
        self.optimizer = torch.optim.SGD(
            rows, lr=self.stage.lr, momentum=train.momentum, nesterov=train.momentum > 0, fused=True
        )
        self.restore_momentum(momentum)
        self.called: nn.Module = self.processes.wrap(self.network)

    def change(self, step: int, epoch: int) -> None:
        """Let the task change the architecture before a step of the stage."""
        change = self.task.before_step(step, self.momentum)
        if change is None:
            return
        remembered = self.task.state()
        self.called = change.network  # lets go of the old wrapper, whose hooks are on parameters that stay
        self._build(replace(self.context, network=change.network), change.momentum)
        self.task.restore(remembered)
        self.task.before_epoch(epoch)
        self.network.train()

    def set_rate(self, step: int) -> None:
        """The learning rates of a step."""
        factor = self.task.factor(step, self.stage.schedule(step, self.length.total))
        for group in self.optimizer.param_groups:
            group["lr"] = self.stage.lr * group["scale"] * factor

    def trained(self) -> list[nn.Parameter]:
        """The parameters that learn."""
        return [parameter for group in self.groups for parameter in group.parameters]

    def momentum(self) -> dict[str, Tensor]:
        """Momentum by parameter name, of the parameters that have been updated."""
        found = {}
        for name, parameter in self.network.named_parameters():
            buffer = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if buffer is not None:
                found[name] = buffer
        return found

    def restore_momentum(self, momentum: Mapping[str, Tensor]) -> None:
        """Put momentum back, on each parameter's device."""
        learns = {id(parameter) for parameter in self.trained()}
        for name, parameter in self.network.named_parameters():
            if name in momentum and id(parameter) in learns:
                self.optimizer.state[parameter]["momentum_buffer"] = momentum[name].to(parameter.device).clone()
