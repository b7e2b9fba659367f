"""Two processes over gloo train one network: same weights everywhere, files from the first."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from sanp.checkpoint import tensor_file
from sanp.training.interrupt import StopRequest
from sanp.training.loop import Loop
from sanp.training.processes import Processes, processes
from sanp.training.state import Position
from sanp_targets.errors import ConfigError

pytestmark = pytest.mark.slow

# Trains every configuration of [{"folder", "port", "config"}], each in a group of its own.
_SCRIPT = """
import json, os, sys
from pathlib import Path

import torch
from sanp.methods.registry import METHODS, train_settings
from sanp.training import train
from sanp.training.run import (Run)
METHODS["narrowing"] = "tests.toolchain.methods.narrowing:Narrowing"
torch.set_num_threads(1)
kept = {}
finish = Run._result
def spy(self):
    result = finish(self)
    state = self.network.state_dict()
    kept.update(model={n: v.double().sum().item() for n, v in state.items()}, rank=self.processes.rank)
    return result
Run._result = spy
for run in json.loads(sys.argv[1]):
    os.environ["MASTER_PORT"] = str(run["port"])
    result = train(train_settings(**run["config"]), output=Path(run["folder"]), progress=False)
    Path(run["folder"], f"rank{kept['rank']}.json").write_text(json.dumps({**kept, "cost": result.cost}))
"""


_OWN = """
import json, sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
import sanp
from tests.support.own_network import OwnNet
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
images, labels = torch.randn(64, 3, 12, 12, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 4
images[torch.arange(64), labels % 3] += labels[:, None, None] / 2
data = TensorDataset(images, labels)
train = DataLoader(data, 8, sampler=DistributedSampler(data), drop_last=True)
validation = [(images[rank::2][:20 + rank], labels[rank::2][:20 + rank])]  # 41 in all
torch.manual_seed(0)
network = OwnNet(4)
seen = []
counted = lambda outputs, labels: float(seen.append(len(labels)) or len(labels))
result = sanp.train(network, (train, validation), output=sys.argv[1], progress=False, metric={"size": counted},
                    budget=0.9, pretrain_epochs=2, warmup_epochs=1, joint_epochs=2, device="cpu", log_every=2)
state = {name: value.double().sum().item() for name, value in result.network.state_dict().items()}
found = {"state": state, "metrics": result.metrics, "cost": result.cost, "steps": len(train)}
Path(sys.argv[1], f"own{rank}.json").write_text(json.dumps(found))
"""


def free_ports(count=1):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def run_in_two_processes(*arguments):
    """A script and its arguments as both ranks of a run; both end well, or their errors are shown."""
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_ports()[0])}
    shared["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", *arguments],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [child.communicate(timeout=300)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0, 0], errors


# Method and its settings -> rows of its metrics.
CASES = {
    "sanp": ({"method": "sanp", "joint_epochs": 2, "warmup_epochs": 1}, 4),
    "int8": ({"method": "sanp", "joint_epochs": 1, "warmup_epochs": 0, "int8": True, "int8_epochs": 1}, 3),
    "narrowing": ({"method": "narrowing", "first": 2, "second": 6}, 3),
    "laasp": ({"method": "laasp", "budget": 0.6, "epochs": 3, "samples": 50, "step": 0.1, "delta": 0.2}, 4),
    "fcp": ({"method": "fcp", "budget": 0.6, "cluster_epochs": 1, "finetune_epochs": 1}, 3),
}


@pytest.fixture(scope="module")
def trained_by_two(tmp_path_factory):
    """Folder with a folder for each case, all trained by the same two processes: starting them takes longer."""
    folder = tmp_path_factory.mktemp("two")
    common = {
        "width": 0.1, "dataset": "mixcues", "image_size": 16, "batch_size": 40, "budget": 1.0, "log_every": 2,
        "data_options": {"modes": 2, "train_size": 200, "val_size": 10, "test_size": 60},
        "pretrain_epochs": 1, "device": "cpu",
    }  # fmt: skip
    runs = [
        {"folder": str(folder / name), "port": port, "config": {**common, **method}}
        for (name, (method, _)), port in zip(CASES.items(), free_ports(len(CASES)), strict=True)
    ]
    run_in_two_processes(_SCRIPT, json.dumps(runs))
    return folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_agree(name, trained_by_two):
    folder = trained_by_two / name
    first, second = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2))
    assert (first["rank"], second["rank"]) == (0, 1)
    assert first["model"] == second["model"] and first["cost"] == second["cost"]
    _, tensors = tensor_file.read(folder / "checkpoint.safetensors", "checkpoint")
    assert {name: value.double().sum().item() for name, value in tensors.items()} == first["model"]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == CASES[name][1]  # one writer


def test_two_processes_with_loaders_of_their_own(tmp_path):
    """Each passes its share: the same network and thresholds in both, judged on the samples of both."""
    run_in_two_processes(_OWN, str(tmp_path))
    first, second = (json.loads((tmp_path / f"own{rank}.json").read_text()) for rank in range(2))
    assert first == second and first["steps"] == 4
    assert first["metrics"]["size"] == pytest.approx((20 * 20 + 21 * 21) / 41), "weighted by the samples of both"
    assert first["metrics"]["accuracy"] * 41 == pytest.approx(round(first["metrics"]["accuracy"] * 41))


def test_sums_of_an_unfinished_epoch_are_those_of_all_processes():
    """Each process starts from the saved sums, so they must not be those of the process that saved."""

    class Second(Processes):
        def mean(self, value):
            return (value + torch.tensor([3.0, 7.0, 8.0])) / 2

    stopped = []
    loop = Loop.__new__(Loop)
    loop.processes, loop.stop = Second(0, 1, torch.device("cpu")), StopRequest()
    position = Position("pretrain", step=4)
    loop._checkpoint("pretrain", position, torch.tensor([1.0, 5.0, 8.0]), stopped.append)
    assert position.sums == {"loss": 2.0, "hits": 6.0, "samples": 8.0} and stopped == [False]


def test_one_process_needs_no_group():
    with processes("cpu") as alone:
        assert (alone.rank, alone.world, alone.device.type) == (0, 1, "cpu")
        assert not torch.distributed.is_initialized()
        assert alone.any(True) and not alone.any(False)
        assert alone.wrap(model := torch.nn.Linear(2, 2)) is model
        assert float(alone.mean(torch.tensor(3.0))) == 3
    with pytest.raises(ConfigError, match="'gpu'"), processes("gpu"):
        pass
