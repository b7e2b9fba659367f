"""What a training step costs besides arithmetic: operators, copies to the host, and steps that are replayed."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu import training_steps
from sanp.checkpoint import tensor_file
from sanp.gating.attach import gated_layers
from sanp.methods.registry import train_settings
from sanp.methods.stage import Task
from sanp.methods.stages.joint import Penalised
from sanp.training.loop import Loop
from sanp.training.recorded import RecordedStep
from sanp.training.start import train
from sanp_targets.errors import ConfigError, ValidationError
from tests.toolchain.training.test_run import TINY, tiny

MOST_PER_LAYER = 80  # operators of a joint step for each gate, forward and backward; 73 today


class Watched(TorchDispatchMode):
    """Counts operators; a copy of a value to the host is an error."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name()
        assert not name.startswith(("aten::_local_scalar_dense", "aten::item", "aten::nonzero")), name
        self.counts[name] += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_operators_of_a_joint_step_and_no_value_for_the_host(monkeypatch, precision):
    plain, found = Loop._step, {}

    def watched(self, active, batch, position):
        with Watched() as mode:
            result = plain(self, active, batch, position)
        found[active.stage.name] = sum(mode.counts.values()), len(gated_layers(active.network))
        return result

    monkeypatch.setattr(Loop, "_step", watched)
    settings = train_settings(
        model="resnet-18", width=0.0625, batch_size=8, precision=precision, augment=False, device="cpu",
        dataset="mixcues",
    )  # fmt: skip
    training_steps.measure(settings, 2, 1)
    (dense, _), (joint, layers) = found["pretrain"], found["joint"]
    assert layers == 20
    assert joint - dense <= MOST_PER_LAYER * layers, (dense, joint)


def recorded_by_python(run):
    """Stands for a CUDA graph where there is none: replays by calling, into the tensors of the first call.

    As while a graph is recorded, nothing of the first call may remain: neither statistics nor random numbers.
    """
    kept: dict[str, torch.Tensor] = {}

    def replay():
        result = run()
        if "result" not in kept:
            raise AssertionError("replayed before it was recorded")
        kept["result"].copy_(result)

    kept["result"] = torch.zeros(2, dtype=torch.float64)
    return replay, kept["result"]


@pytest.fixture
def without_a_gpu(monkeypatch):
    """A loop that replays on the CPU, and the list of the steps that it recorded."""
    plain, recorded = Loop.__init__, []

    def begin(self, settings, *rest):
        plain(self, settings.model_copy(update={"cuda_graph": False}), *rest)
        self.settings = settings

    def replayed(self, batch):
        # Gradients are made anew by the call, where a graph writes them to the same tensors.
        self.batch.images.copy_(batch.images)
        self.batch.labels.copy_(batch.labels)
        if self.batch.modes is not None:
            self.batch.modes.copy_(batch.modes)
        self.replay()
        return self.result

    def of(learn, batch, parameters, record):
        recorded.append(len(parameters))
        own = type(batch)(
            *(None if part is None else part.clone() for part in (batch.images, batch.labels, batch.modes))
        )
        replay, result = recorded_by_python(lambda: learn(own))
        return RecordedStep(own, replay, result, [])

    monkeypatch.setattr(Loop, "__init__", begin)
    monkeypatch.setattr(RecordedStep, "of", staticmethod(of))
    monkeypatch.setattr(RecordedStep, "__call__", replayed)
    return recorded


def test_replayed_steps_train_the_same_network(tmp_path, without_a_gpu):
    """Batches and modes are copied in, statistics and gradients come out, and every epoch has its own recording."""
    torch.set_num_threads(1)
    weights = {}
    for name, graph in (("plain", False), ("replayed", True)):
        with suppress(ValidationError):  # two epochs miss the budget, and the network is written all the same
            train(tiny(cuda_graph=graph, pretrain_epochs=1, joint_epochs=2), output=tmp_path / name, progress=False)
        weights[name] = tensor_file.read(tmp_path / name / "checkpoint.safetensors", "checkpoint")[1]
    assert len(without_a_gpu) == 4  # one of every epoch
    assert weights["plain"].keys() == weights["replayed"].keys()
    assert all(torch.equal(value, weights["replayed"][key]) for key, value in weights["plain"].items())


def test_a_graph_needs_a_gpu(tmp_path):
    with pytest.raises(ConfigError, match="cuda_graph is set for 1 processes on cpu, expected one process on a GPU"):
        train(TINY.model_copy(update={"cuda_graph": True, "device": "cpu"}), output=tmp_path, progress=False)


def test_only_tasks_that_say_so_are_recorded():
    """A subclass with hooks of its own may change a number in Python, which a recording would freeze."""

    class Own(Task):
        def after_step(self, step):
            self.factor = step

    class Further(Penalised):
        def loss(self, logits, batch):
            return super().loss(logits, batch) * 2

    assert Task.__new__(Task).recordable()
    assert Penalised.__new__(Penalised).recordable()
    assert not Own.__new__(Own).recordable()
    assert not Further.__new__(Further).recordable()
