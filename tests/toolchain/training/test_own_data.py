"""`sanp.train` with a network, data, loss and metric of the user's own."""

from __future__ import annotations

import json
import os
import random
import signal

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

import sanp
from sanp import checkpoint
from sanp.checkpoint import tensor_file
from sanp.data.own import TrainingData
from sanp.training.progress import Journal
from sanp_targets.errors import ConfigError, InputError, TrainingInterrupted
from tests.support.own_network import OwnNet

QUICK = {"pretrain_epochs": 2, "warmup_epochs": 1, "joint_epochs": 2, "budget": 0.9, "log_every": 2, "lr": 0.02}


def colours(count, seed=0, size=12):
    """Images that say their class, one of three, by their brightest channel."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.randn(count, 3, size, size, generator=generator) * 0.5
    images[torch.arange(count), labels] += 1.0
    return images, labels


def pairs(count, batch=15, seed=0):
    images, labels = colours(count, seed)
    return list(zip(images.split(batch), labels.split(batch)))


class Noisy(Dataset):
    """Augments with all three generators that people use."""

    def __init__(self, count):
        self.images, self.labels = colours(count)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        noise = torch.randn(()) + np.random.rand() + random.random()
        return self.images[row] + 0.1 * noise.float(), self.labels[row]


def train(network, data, output, **changes):
    return sanp.train(network, data, output=output, progress=False, **{**QUICK, **changes})


def weights(folder):
    return tensor_file.read(folder / "checkpoint.safetensors", "checkpoint")[1]


def test_an_object_and_two_loaders(tmp_path):
    torch.manual_seed(0)
    network = OwnNet(3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    data = DataLoader(TensorDataset(*colours(90)), 16, shuffle=True, drop_last=True), pairs(30, seed=1)
    result = train(network, data, tmp_path, pretrain_epochs=8)
    assert result.accuracy == result.metrics["accuracy"] > 0.8 and result.cost < 1
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()), "a copy is trained"
    images, labels = colours(30, seed=1)
    with torch.no_grad():
        found = result.network(images)
    assert float((found.argmax(1) == labels).double().mean()) == pytest.approx(result.accuracy)
    assert result.evaluation.loss == pytest.approx(float(F.cross_entropy(found, labels)), rel=1e-5)
    # The checkpoint is read with the object, or with the path of its class.
    for built in (OwnNet(3), "tests.support.own_network:OwnNet"):
        again = checkpoint.load(result.checkpoint, built)
        assert torch.equal(again.model(images), found) and not again.has_data
        assert again.config.backbone == "OwnNet" and again.metadata["test"]["accuracy"] == result.accuracy
    with pytest.raises(InputError, match="custom network, whose class a checkpoint cannot carry"):
        checkpoint.load(result.checkpoint)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["pretrain"] * 8 + ["warmup"] + ["joint"] * 2
    images = images.numpy()
    sanp.export(
        result.network,
        tmp_path / "n.onnx",
        example_input=torch.zeros(1, 3, 12, 12),
        images=images,
        labels=labels.numpy(),
    )
    assert sanp.compile(tmp_path / "n.onnx", tmp_path / "n.sanp").bundle.manifest.gated


def test_the_command_line_takes_the_same_path(tmp_path, monkeypatch):
    """One function trains, whoever calls it: `sanp train` and `sanp.train` reach the same bits."""
    import sys

    from sanp.cli.app import main

    settings = {"model": "m-cifarnet", "width": 0.1, "dataset": "mixcues", "image_size": 16}
    knobs = {"modes": 2, "train_size": 100, "val_size": 10, "test_size": 40}
    sanp.train("m-cifarnet", "mixcues", output=tmp_path / "python", progress=False, width=0.1, image_size=16,
               data_options=knobs, **QUICK)  # fmt: skip
    words = [f"{key}={json.dumps(value)}" for key, value in {**settings, **QUICK, "data_options": knobs}.items()]
    monkeypatch.setattr(
        sys,
        "argv",
        ["sanp", "train", "-o", str(tmp_path / "cli"), *(part for word in words for part in ("--set", word))],
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    one, other = weights(tmp_path / "python"), weights(tmp_path / "cli")
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def loaders(workers):
    made = DataLoader(
        Noisy(64), 16, shuffle=True, num_workers=workers, generator=torch.Generator() if workers else None
    )
    return TrainingData(made, pairs(30, seed=1), calibration=pairs(30), class_names=("red", "green", "blue"))


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_changes_no_bit(workers, tmp_path, monkeypatch):
    whole = train(OwnNet(3, 6), loaders(workers), tmp_path / "whole", weights_except=["fc"])
    plain, sent = Journal.step, []

    def watched(self, name, done, total, note=""):
        plain(self, name, done, total, note)
        if (name, done) == ("joint", 2) and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))

    def network():
        torch.manual_seed(7)
        return OwnNet(3, 6)

    whole = train(network(), loaders(workers), tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "step", watched)
        with pytest.raises(TrainingInterrupted, match="stage joint"):
            train(network(), loaders(workers), tmp_path / "b")
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    again = train(network(), loaders(workers), tmp_path / "b", resume=True)
    one, other = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert again.evaluation == whole.evaluation


def test_a_callable_gets_the_number_of_the_epoch(tmp_path):
    seen = []

    def epoch(number):
        seen.append(number)
        yield from pairs(60, seed=number)

    result = train(OwnNet(3), TrainingData(epoch, pairs(30, seed=1), calibration=pairs(30), steps=4), tmp_path)
    assert seen == [0, 0, 1, 2, 3, 4], "once to look at the data, then the epochs of all stages"
    assert len(result.history) == 5


class Detector(nn.Module):
    """Two maps of different sizes, in a dictionary: no logits."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(12, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.near, self.far = nn.Conv2d(12, 5, 1), nn.Conv2d(12, 5, 1)

    def forward(self, x):
        y = self.stem(x)
        return {"near": self.near(y), "far": self.far(self.down(y))}


def boxes(count, batch=10):
    """Labels as detectors have them: per batch, a dictionary with a list of tensors of different lengths."""
    images, _ = colours(count, size=16)
    return [
        (part, {"boxes": [torch.rand(1 + row % 3, 4) for row in range(len(part))], "level": part.mean((1, 2, 3))})
        for part in images.split(batch)
    ]


def box_loss(outputs, labels):
    wanted = torch.stack([rows.mean(0) for rows in labels["boxes"]])
    found = outputs["far"].mean((2, 3))
    return F.mse_loss(found[:, :4], wanted) + F.mse_loss(outputs["near"].mean((1, 2, 3)), labels["level"])


class Within:
    """A metric as torchmetrics has them."""

    def reset(self):
        self.hits, self.seen = 0, 0

    def update(self, outputs, labels):
        off = (outputs["near"].mean((1, 2, 3)) - labels["level"]).abs()
        self.hits, self.seen = self.hits + int((off < 0.5).sum()), self.seen + len(off)

    def compute(self):
        return self.hits / self.seen


@pytest.mark.parametrize(
    "options",
    [
        {"method": "sanp"}, {"method": "fbs"}, {"method": "static", "budget": 0.95}, {"method": "fixed-k"},
        {"method": "channel-gating", "warmup_epochs": None},
        {"method": "l1", "finetune_epochs": 1}, {"method": "slimming", "sparse_epochs": 1, "finetune_epochs": 1},
        {"method": "fcp", "cluster_epochs": 1, "finetune_epochs": 1},
        {"method": "laasp", "epochs": 2, "samples": 20, "step": 0.1},
    ],
    ids=lambda options: options["method"],
)  # fmt: skip
def test_a_detector_by_every_method(options, tmp_path):
    """Labels of any structure, outputs of any structure, loss and metrics of the user's own."""
    stages = {key: value for key, value in QUICK.items() if "warmup" not in key and "joint" not in key}
    gated = {"sanp", "fbs", "static", "fixed-k", "channel-gating"}
    lengths = {"warmup_epochs": 1, "joint_epochs": 2} if options["method"] in gated else {}
    changes = {key: value for key, value in {**stages, **lengths, **options}.items() if value is not None}
    torch.manual_seed(0)
    result = sanp.train(
        Detector(), (boxes(40), boxes(20)), output=tmp_path, progress=False,
        loss=box_loss, metric={"within": Within(), "width": lambda outputs, _: outputs["far"].shape[-1]}, **changes,
    )  # fmt: skip
    assert set(result.metrics) == {"within", "width"} and result.metrics["width"] == 4
    assert 0 <= result.metrics["within"] <= 1 and result.evaluation.accuracy is None and result.cost < 1
    assert all("accuracy" not in row for row in result.history)
    with pytest.raises(ConfigError, match="the run has no accuracy, because its labels are no classes"):
        result.accuracy  # noqa: B018
    again = checkpoint.load(result.checkpoint, Detector())
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(again.model(x)["far"], result.network(x)["far"])


def test_a_loss_beside_the_accuracy(tmp_path):
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)
    images = torch.randn(2, 3, 12, 20)  # not square
    data = [(images, torch.tensor([0, 2]))] * 4
    result = train(OwnNet(3), (data, data), tmp_path, loss=smooth, metric="accuracy", budget=1.0)
    assert 0 <= result.accuracy <= 1
    assert checkpoint.load(result.checkpoint, OwnNet(3)).example_input.shape == (1, 3, 12, 20)


GOOD = pairs(30)
IMAGES, LABELS = colours(15)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ((iter(GOOD), GOOD), "train is a list_iterator, which can be iterated once"),
        ((GOOD, (item for item in GOOD)), "validation is a generator, which can be iterated once"),
        ((GOOD,), "expected the pair"),
        ((3, GOOD), "train is a int, expected an iterable"),
        (([], GOOD), "train is empty"),
        ((GOOD, []), "validation is empty"),
        ((lambda epoch: iter(GOOD), GOOD), "without a length"),
        (TrainingData(lambda epoch: 3, GOOD, steps=2), "train returned a int"),
        (([IMAGES], GOOD), "batch 1 of train is a Tensor, expected the pair"),
        (([(IMAGES, LABELS, LABELS)], GOOD), "batch 1 of train is 3 values"),
        ((list(zip(IMAGES, LABELS)), GOOD), r"have shape \(3, 12, 12\), expected \[N, C, H, W\]"),
        (([(IMAGES[:0], LABELS[:0])], GOOD), r"with N of at least 1"),
        (([((IMAGES * 20).to(torch.uint8), LABELS)], GOOD), "are uint8, expected floating point"),
        (([([1, 2], LABELS)], GOOD), "are a list, expected a tensor"),
        ((GOOD, [(IMAGES[:, :1], LABELS)]), r"shape \(15, 1, 12, 12\), expected \(N, 3, 12, 12\)"),
        (([(IMAGES, LABELS.float())], GOOD), r"labels of train are float32 \(15,\), expected classes"),
        (([(IMAGES, LABELS[:3])], GOOD), r"int64 \(3,\), expected classes, int64 \(15,\)"),
        (([(IMAGES, {"a": 1})], GOOD), "are a dict, expected classes"),
        (([(IMAGES, LABELS + 1)], GOOD), "go from 1 to 3, expected 0 to 2: the network has 3 logits"),
        (([(IMAGES[:1], LABELS[:1])] * 3, GOOD), "has one image, expected at least 2"),
        ((GOOD, [*GOOD, (IMAGES, LABELS - 1)]), "labels of validation go from -1 to 1"),
    ],
)  # fmt: skip
def test_data_that_do_not_fit_say_why(data, says, tmp_path):
    with pytest.raises((InputError, ConfigError), match=says):
        train(OwnNet(3), data, tmp_path)


class Exhausted:
    """Has a length and looks as if it could be iterated again."""

    def __init__(self, items):
        self.items, self.length = iter(items), len(items)

    def __len__(self):
        return self.length - 1

    def __iter__(self):
        return self.items


def test_data_that_end_early(tmp_path):
    with pytest.raises(InputError, match=r"train yielded \d batches in epoch 2 of the run, expected 5"):
        train(OwnNet(3), (Exhausted(pairs(90)), GOOD), tmp_path / "a")
    with pytest.raises(InputError, match="train yielded 2 batches in epoch 1 of the run, expected 3"):
        train(OwnNet(3), TrainingData(GOOD, GOOD, steps=3), tmp_path / "b")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, r"tensor of shape \(15,\)"),
        ({"loss": lambda outputs, labels: 1.0}, "the loss returned float, expected a scalar tensor"),
        ({"loss": lambda outputs, labels: outputs.sum() * float("nan")}, "the loss became nan in stage pretrain"),
        ({"loss": 3}, "loss is a int"),
        ({"metric": lambda outputs, labels: "good"}, "returned str, expected one number"),
        ({"metric": {"two": lambda outputs, labels: outputs[0]}}, r"metric two returned shape \(3,\)"),
        ({"metric": {"odd": lambda outputs, labels: float("nan")}}, "metric odd is nan, expected a finite number"),
        ({"metric": "f1"}, "metric f1 is 'f1', expected accuracy, a callable"),
        ({"method": "narrow"}, "narrow was chosen for OwnNet"),
        ({"method": "oracle"}, "oracle needs mode labels"),
        ({"loss": F.cross_entropy, "method": "channel-gating", "distill": 0.5}, "the labels are no classes"),
    ],
)  # fmt: skip
def test_losses_metrics_and_methods_that_do_not_fit(changes, says, tmp_path):
    options = {
        key: value
        for key, value in QUICK.items()
        if changes.get("method", "sanp") == "sanp" or ("joint" not in key and "warmup" not in key)
    }
    with pytest.raises((InputError, ConfigError), match=says):
        sanp.train(OwnNet(3), (GOOD, GOOD), output=tmp_path, progress=False, **{**options, **changes})


def test_networks_that_do_not_fit(tmp_path):
    with pytest.raises(ConfigError, match="OwnNet has gates already"):
        train(sanp.gate(OwnNet(3), torch.zeros(1, 3, 12, 12)), (GOOD, GOOD), tmp_path)
    with pytest.raises(ConfigError, match=r"Conv2d answers 2 images with shape \(2, 3, 12, 12\)"):
        train(nn.Conv2d(3, 3, 1), (GOOD, GOOD), tmp_path)
    with pytest.raises(ConfigError, match=r"OwnNet does not take images \(3, 12, 12\)"):
        train(OwnNet(3, in_channels=1), (GOOD, GOOD), tmp_path)
    with pytest.raises(ConfigError, match="network is a TrainSettings"):
        sanp.train(sanp.TrainSettings(), output=tmp_path)
    with pytest.raises(ConfigError, match='pass metric="accuracy"'):
        sanp.train(OwnNet(10), "digits", output=tmp_path, loss=F.cross_entropy)
