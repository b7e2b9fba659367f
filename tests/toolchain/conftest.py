"""Fixtures of the toolchain tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from sanp import models
from sanp.cost.tracker import CostTracker
from sanp.data import Split
from sanp.gating import gated_layers
from sanp.methods.registry import gate
from sanp.settings.remote import RemotePart
from sanp.training.batches import Batches
from sanp_runtime.bundle.writer import BundleWriter
from sanp_runtime.engines.onnxruntime.library import find_library
from sanp_targets.errors import TargetError
from tests.support.checkpoints import make_checkpoint
from tests.support.loopback_sshd import LoopbackSshd, start
from tests.support.tiny_bundle import fill


@pytest.fixture(autouse=True)
def _one_thread():
    """Small tensors: a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def force_masks():
    """Make every gate of a SANP network a random table of 0 and 1, the same for all samples of a layer's rows."""

    def force(model, seed=0, keep=0.5):
        generator = torch.Generator().manual_seed(seed)
        for layer in gated_layers(model).values():
            net = layer.gate.net
            torch.nn.init.normal_(net.fc1.weight, generator=generator)
            torch.nn.init.normal_(net.fc2.weight, std=2.0, generator=generator)
            shift = torch.randn(net.fc2.bias.shape, generator=generator)
            net.fc2.bias.data = shift + (2.0 * keep - 1.0)

    return force


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("trained") / "checkpoint.safetensors")


@pytest.fixture
def gated():
    """A gated network with spread saliencies and a split to measure it on."""
    torch.manual_seed(0)
    model = gate(models.build("m-cifarnet", width=0.2), torch.zeros(1, 3, 16, 16)).eval()
    for layer in gated_layers(model).values():
        nn.init.normal_(layer.gate.net.fc2.bias, 0.4, 0.2)
    images = torch.rand(64, 3, 16, 16).numpy()
    zeros = torch.zeros(3).numpy()
    split = Split(images, torch.arange(64).numpy(), zeros, zeros + 1)
    return model, CostTracker(model, torch.zeros(1, 3, 16, 16)), Batches(split, torch.device("cpu"), 32)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory) -> Iterator[LoopbackSshd]:
    yield from start(tmp_path_factory.mktemp("sshd"))


@pytest.fixture(scope="session")
def board_cache(tmp_path_factory) -> Path:
    """What a board keeps between runs; shared, so that our packages are sent once."""
    return tmp_path_factory.mktemp("board") / "cache"


@pytest.fixture
def remote(sshd, board_cache) -> RemotePart:
    """A board that is this machine, at the other end of a real sshd."""
    return RemotePart(host="board", ssh=sshd.ssh, board_python=sys.executable, board_folder=str(board_cache))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A bundle of the hand-written network with the library of this machine."""
    path = tmp_path_factory.mktemp("bundles") / "tiny.sanp"
    try:
        library = find_library()
    except TargetError as error:
        pytest.skip(str(error))
    with BundleWriter(path) as writer:
        fill(writer, library)
    return path
