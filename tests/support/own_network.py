"""A network that stands for one of a user's own: reached by import path, and not by a name of ours."""

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, c):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)

    def forward(self, x):
        """[N, c, H, W] -> [N, c, H, W]."""
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class OwnNet(nn.Module):
    """A stem, a block, a classifier."""

    def __init__(self, num_classes, channels=8, in_channels=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels))
        self.block = Block(channels)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        """[N, in_channels, H, W] -> [N, num_classes]."""
        return self.fc(self.block(torch.relu(self.stem(x))).mean((2, 3)))


class Patches(nn.Module):
    """One convolution over patches of 16 pixels: nearly no work on large images."""

    def __init__(self, num_classes):
        super().__init__()
        self.patches = nn.Sequential(nn.Conv2d(3, 8, 16, 16, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        """[N, 3, H, W] -> [N, num_classes]."""
        return self.fc(self.patches(x).mean((2, 3)))


def own_net(channels=8, **kwargs):
    """A factory as many libraries have them: its classes among the keywords that it passes on."""
    return OwnNet(kwargs.pop("num_classes", 1000), channels, **kwargs)


def broken(num_classes):
    """Fails."""
    raise ValueError(f"no network of {num_classes} classes today")


def no_network():
    """Makes something else."""
    return {"a": nn.Linear(1, 1)}
