"""Small gated networks written by hand: an oracle for the exporter that shares no code with the product's gating."""

import functools

import torch
from torch import nn
from torch.nn import functional as F

from sanp_export.exporter import export
from sanp_export.spec import GatedConvSpec, SharedGate, SpmGate, StaticGate, fold_batch_norm
from sanp_export.variants import variants

IMAGE = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(4))


class HandGated(nn.Module):
    """gate(x) * norm(conv(x)) with a saliency module, a top-k rule or a constant scale.

    boosted: one fully connected layer on mean |x|, and a part of the shift that the gate switches and does not scale.
    """

    def __init__(
        self, c_in, c_out, kernel=3, stride=1, padding=None, dilation=1, groups=1, k=0, static=None, boosted=False
    ):
        super().__init__()
        padding = dilation * (kernel // 2) if padding is None else padding
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation, groups, bias=False)
        self.norm = nn.BatchNorm2d(c_out)
        nn.init.uniform_(self.norm.running_mean, -0.3, 0.3)
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5)
        nn.init.uniform_(self.norm.bias, -0.5, 0.5)
        self.squeeze = nn.Linear(c_in, 5)
        self.excite = nn.Linear(5, c_out)
        nn.init.normal_(self.squeeze.weight, std=2.0)
        nn.init.normal_(self.excite.weight, std=2.0)
        if boosted:
            self.direct = nn.Linear(c_in, c_out)
            nn.init.normal_(self.direct.weight, std=2.0)
            self.offset = nn.Parameter(torch.rand(c_out) - 0.3)
        self.k, self.static, self.boosted = k, static, boosted
        self.level = 0.0
        self.mask = torch.ones(1, c_out)
        self.scale = None

    def forward(self, x):
        if self.static is not None:
            scale = self.static.expand(x.shape[0], -1)
        else:
            saliency = self.excite(self.squeeze(x.mean((2, 3))).relu()).relu()
            if self.boosted:
                saliency = self.direct(x.abs().mean((2, 3))).relu()
            bound = torch.tensor(self.level)
            if self.k:
                bound = saliency.sort(dim=1, descending=True).values[:, self.k : self.k + 1].clamp(min=self.level)
            scale = saliency * (saliency > bound)
        self.scale = scale * self.mask
        y = self.scale[:, :, None, None] * self.norm(self.conv(x))
        return y + ((self.scale != 0) * self.offset)[:, :, None, None] if self.boosted else y

    def gated_conv_spec(self):
        weight, bias = fold_batch_norm(self.conv, self.norm)
        top, left = self.conv.padding
        gate = StaticGate(self.static)
        if self.static is None:
            gate = SpmGate(self.squeeze.weight, self.squeeze.bias, self.excite.weight, self.excite.bias, k=self.k)
        if self.boosted:
            gate = SpmGate(None, None, self.direct.weight, self.direct.bias, k=self.k, magnitude=True)
        geometry = (self.conv.stride, (top, left, top, left), self.conv.dilation, self.conv.groups)
        return GatedConvSpec(weight, bias, *geometry, gate, self.offset if self.boosted else None)


class HandFollower(nn.Module):
    """(scale of the leaders > 0) * norm(conv(x)) of a depthwise convolution; a number is that many open channels."""

    def __init__(self, leaders, kernel=3, stride=1):
        super().__init__()
        self.leaders = tuple(leaders)
        self.widths = tuple(item if isinstance(item, int) else item.conv.out_channels for item in leaders)
        width = sum(self.widths)
        self.conv = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        nn.init.uniform_(self.norm.running_mean, -0.3, 0.3)
        nn.init.uniform_(self.norm.bias, 0.2, 0.5)

    def forward(self, x):
        scales = [item if isinstance(item, int) else item.scale for item in self.leaders]
        ones = [torch.ones(len(x), n) if s is None or isinstance(s, int) else s for s, n in zip(scales, self.widths)]
        return self.norm(self.conv(x)) * (torch.cat(ones, 1) > 0)[:, :, None, None]

    def gated_conv_spec(self):
        weight, bias = fold_batch_norm(self.conv, self.norm)
        top, left = self.conv.padding
        geometry = (self.conv.stride, (top, left, top, left), self.conv.dilation, self.conv.groups)
        return GatedConvSpec(weight, bias, *geometry, SharedGate(self.leaders, self.widths))


class Plain(nn.Module):
    def __init__(self, **gate):
        super().__init__()
        self.a = HandGated(3, 12, padding=0, **gate)
        self.b = HandGated(12, 16, stride=2, **gate)
        self.c = HandGated(16, 12, kernel=5, dilation=2, **gate)
        self.head = nn.Conv2d(12, 10, 1)

    def forward(self, x):
        x = F.max_pool2d(self.a(x).relu(), 2)
        x = self.c(self.b(x).clamp(0, 6)).relu()
        return self.head(F.adaptive_avg_pool2d(x, 1)).flatten(1)


class Residual(nn.Module):
    def __init__(self, **gate):
        super().__init__()
        self.stem = HandGated(3, 8, **gate)
        self.a1, self.a2 = HandGated(8, 8, **gate), HandGated(8, 8, **gate)
        self.b1, self.b2 = HandGated(8, 16, stride=2, **gate), HandGated(16, 16, **gate)
        self.short = HandGated(8, 16, kernel=1, stride=2, **gate)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x).relu()
        x = (self.a2(self.a1(x).relu()) + x).relu()
        x = (self.b2(self.b1(x).relu()) + self.short(x)).relu()
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Concatenating(nn.Module):
    """Dense connections with an ungated branch, grouped and depthwise convolutions."""

    def __init__(self):
        super().__init__()
        self.a = HandGated(3, 8)
        self.plain = nn.Conv2d(3, 4, 3, padding=1)
        self.b = HandGated(12, 12, groups=3)
        self.depthwise = HandGated(24, 24, groups=24)
        self.c = HandGated(24, 8, kernel=1)
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = torch.cat([self.a(x).relu(), self.plain(x)], 1)
        x = torch.cat([x, self.b(x).relu()], 1)
        x = self.c(self.depthwise(x).relu())
        return self.fc(x.mean((2, 3)))


class Sharing(nn.Module):
    """An inverted residual block whose depthwise layers follow the expansion, and one that follows a concatenation."""

    def __init__(self, static=None):
        super().__init__()
        self.stem = HandGated(3, 10)
        self.expand = HandGated(10, 12, kernel=1, static=static)
        self.first, self.second = HandFollower([self.expand], 5), HandFollower([self.expand], stride=2)
        self.project = HandGated(12, 6, kernel=1)
        self.plain = nn.Conv2d(6, 4, 1)
        self.beside = HandFollower([self.project, 4])
        self.last = HandGated(10, 16, kernel=1)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x).clamp(0, 6)
        y = self.first(self.expand(x).clamp(0, 6)).relu()
        y = self.project(F.hardswish(self.second(y)))
        y = torch.cat([y, self.plain(y)], 1)
        return self.fc(self.last(self.beside(y).relu()).mean((2, 3)))


class Static(Plain):
    def __init__(self):
        super().__init__()
        for module in self.children():
            if isinstance(module, HandGated):
                scale = torch.rand(module.conv.out_channels)
                module.static = scale * (scale > 0.4)


NETS = {
    "plain": Plain,
    "residual": Residual,
    "concatenating": Concatenating,
    "static": Static,
    "sharing": Sharing,
    "sharing-static": lambda: Sharing(torch.tensor([0.0, 1.5, 0.7, 0.0] * 3)),
    "top-k": lambda: Plain(k=5),
    "boosted": lambda: Plain(k=5, boosted=True),
    "boosted-residual": lambda: Residual(k=5, boosted=True),
}


def make(kind, seed=0):
    torch.manual_seed(seed)
    return NETS[kind]().eval()


def gated_layers(net):
    return {name: module for name, module in net.named_modules() if isinstance(module, HandGated)}


def masked_layers(net):
    """Those with a gate, and those that follow one."""
    return {name: module for name, module in net.named_modules() if isinstance(module, (HandGated, HandFollower))}


@functools.cache
def compiled(kind):
    """A network and its four graphs; tracing takes seconds, so tests that change neither share them."""
    net = make(kind)
    return net, variants(export(net, IMAGE))
