"""A method that only tests know: one learned number per channel decides, for all samples alike."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from sanp.cost.controller import Control
from sanp.gating.policy import Decision, GatePolicy
from sanp.methods.gated import GatedMethod, GatedSettings
from sanp.methods.stages.joint import Penalised, joint
from sanp.methods.stages.pretrain import pretrain
from sanp_export.spec import StaticGate


class NumberGate(GatePolicy):
    """u is a parameter; a channel is open where it is positive."""

    def __init__(self, c_out, start):
        super().__init__()
        self.number = nn.Parameter(torch.linspace(-0.1, start, c_out))

    def forward(self, x):
        u = self.number.expand(len(x), -1)
        mask = (u > 0).float().detach()
        return Decision(u, F.relu(u) * mask, mask)

    def export(self):
        return StaticGate(F.relu(self.number).detach().clone())


class DummySettings(GatedSettings):
    """Options of the dummy."""

    start: float = Field(1.0, gt=0, description="largest number at the start")


class Dummy(GatedMethod):
    """Gates from the first joint step on; no warm-up."""

    Settings = DummySettings

    def make_gate(self, c_in, c_out):
        return NumberGate(c_out, self.settings.start)

    def task(self, context, length):
        return Penalised(context, length, Control(context.train.budget), "effective", 0.0)

    def stages(self, train):
        own = self.settings
        last = joint(train, own.joint_epochs, own.joint_lr, own.gate_lr_scale, self.task)
        return pretrain(train), last.__class__(**{**last.__dict__, "prepare": self.prepare})
