"""Training on pictures that stay on disk: the same bits with any number of workers, and within a bound of memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from sanp import checkpoint, data
from sanp.checkpoint import tensor_file
from sanp.methods.registry import train_settings
from sanp.pipeline import export
from sanp.pipeline.analyze import analyze_checkpoint
from sanp.training import train
from sanp.training.processes import Processes
from sanp.training.progress import Journal
from sanp.training.streams import StreamSource
from sanp_targets.errors import InputError, TrainingInterrupted
from tests.support.picture_folder import bars

pytestmark = pytest.mark.filterwarnings("ignore:.*hidden files were left out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return bars(tmp_path_factory.mktemp("bars"))


def settings(root, workers=0, name="image-stream", **changes):
    values = {
        "model": "tests.support.own_network:OwnNet", "model_args": {"channels": 16},
        "dataset": name, "data_root": root, "image_size": 16,
        "batch_size": 20, "pretrain_epochs": 3, "warmup_epochs": 1, "joint_epochs": 3, "budget": 0.9, "log_every": 2,
        "data_options": {"workers": workers, "min_area": 0.6, "normalise": "measured"}, "device": "cpu",
    }  # fmt: skip
    return train_settings(**{**values, **changes})


def source(root, workers, rank=0, world=1):
    found = data.load("image-stream", root=root, image_size=16, workers=workers)
    return StreamSource(found, settings(root), Processes(rank, world, torch.device("cpu")))


def test_the_number_of_workers_changes_no_bit(folder):
    seen = []
    for workers in (0, 1, 3):
        made = source(folder, workers)
        epochs = [[batch.images for batch in made.epoch(seed, 0)] for seed in (5, 6)]
        drawn = [batch.images for batch in made.draw(9, 30)]
        spread = [batch.images for batch in made.samples(50)]
        seen.append([*epochs[0], *epochs[1], *drawn, *spread, *(batch.images for batch in made.validation())])
        made.close()
    assert len(seen[0]) == 10 + 10 + 1 + 1 + 1
    for other in seen[1:]:
        assert all(torch.equal(one, two) for one, two in zip(seen[0], other, strict=True))
    assert not torch.equal(seen[0][0], seen[0][10]), "every epoch has crops and an order of its own"


def test_an_epoch_begins_anywhere_and_processes_share_it(folder):
    whole = [batch.labels.tolist() for batch in source(folder, 0).epoch(5, 0)]
    late = [batch.labels.tolist() for batch in source(folder, 2).epoch(5, 0, skip=7)]
    assert late == whole[7:] and len(late) == 3
    parts = [source(folder, 0, rank, 2) for rank in range(2)]
    assert [part.facts.batch_size for part in parts] == [10, 10]
    rows = [{image.numpy().tobytes() for batch in part.epoch(5, 0) for image in batch.images} for part in parts]
    assert len(rows[0]) == len(rows[1]) == 100 and not rows[0] & rows[1]
    assert sum(len(batch) for part in parts for batch in part.validation()) == 58


@pytest.mark.parametrize("name", ["image-folder", "image-stream"])
def test_258_pictures_train_to_what_they_say(name, folder, tmp_path, monkeypatch):
    """With a hidden .ipynb_checkpoints, a photo on its side and a picture of 16 bits."""
    options = {"data_options": {}} if name == "image-folder" else {}
    with pytest.warns(UserWarning, match="1 hidden files were left out"):
        result = train(
            settings(folder, 1, name, pretrain_epochs=8, joint_epochs=16, lr=0.1, **options), output=tmp_path,
            progress=False,
        )  # fmt: skip
    assert result.dense_accuracy > 0.97 and result.accuracy > 0.9 and result.cost < 0.93
    found = checkpoint.load(result.checkpoint)
    assert found.metadata["class_names"] == ["lower", "upper"]
    # Every picture, the odd ones too, is answered as its folder says; 6 is the picture of 16 bits, 7 the turned photo.
    whole = data.load("image-stream", root=folder, image_size=16, resize=1.0).train
    names = [whole.pictures.open(row)[1] for row in range(len(whole))]
    odd = [row for row, path in enumerate(names) if path.endswith(("00006.png", "00007.jpg"))]
    raw = np.stack([whole.pixels(row, None) for row in odd]) / np.float32(255.0)
    mean, std = (np.array(found.metadata[key], np.float32)[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        answers = found.model(torch.from_numpy((raw - mean) / std)).argmax(1)
    assert len(odd) == 2 and answers.tolist() == whole.labels[odd].tolist()
    # The verbs that need test pictures take as many as memory may hold.
    monkeypatch.setattr(export, "_MOST_BYTES", 20 * 4 * 3 * 16 * 16)
    use, _ = analyze_checkpoint(result.checkpoint)
    assert len(use.open_share) == (20 if name == "image-stream" else 58)
    assert use.class_names == ("lower", "upper") and all(len(table) == 2 for table in use.class_open.values())
    images, labels = export.test_samples(found, 6)
    assert images.shape == (6, 3, 16, 16) and labels.tolist() == [0, 0, 0, 1, 1, 1]


def children():
    """Processes of this one, without the one that lists them; other tests may have servers that go on."""
    command = ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {row for row in rows if "resource_tracker" not in row and " ps --ppid" not in f" {row}"}


def test_resuming_changes_no_bit_and_no_worker_is_left(folder, tmp_path, monkeypatch):
    before = children()
    whole = train(settings(folder, 2), output=tmp_path / "a", progress=False)
    plain, sent = Journal.step, []

    def watched(self, name, done, total, note=""):
        plain(self, name, done, total, note)
        if (name, done) == ("joint", 14) and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGINT))

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "step", watched)
        with pytest.raises(TrainingInterrupted, match="stage joint, epoch 2"):
            train(settings(folder, 2), output=tmp_path / "b", progress=False)
    again = train(settings(folder, 2), output=tmp_path / "b", progress=False, resume=True)
    one, other = (tensor_file.read(tmp_path / name / "checkpoint.safetensors", "checkpoint")[1] for name in "ab")
    assert all(torch.equal(value, other[key]) for key, value in one.items()) and again.evaluation == whole.evaluation
    left = children() - before
    assert not left, left


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    root = bars(tmp_path / "bars", train=40, test=8)
    (root / "train" / "upper" / "00010.png").write_bytes(b"\x89PNG\r\n\x1a\n but no image")
    with pytest.raises(InputError, match=r"train/upper/00010\.png cannot be read as an image \(.*\); replace") as told:
        train(settings(root, 1, data_options={"workers": 1}), output=tmp_path / "run", progress=False)
    assert "Traceback" not in str(told.value) and "worker" not in str(told.value)


def test_without_augmentation_every_epoch_sees_the_same_pixels(folder):
    found = data.load("image-stream", root=folder, image_size=16)
    made = StreamSource(found, settings(folder, augment=False), Processes(0, 1, torch.device("cpu")))
    one, other = (
        {image.numpy().tobytes() for batch in made.epoch(seed, 0) for image in batch.images} for seed in (1, 2)
    )
    assert one == other and len(one) == 200


def test_a_pipeline_of_the_webdataset_library(folder, tmp_path):
    """Remote shards and pipelines of one's own: the library's loader is an iterable like any other."""
    webdataset = pytest.importorskip("webdataset")
    import sanp
    from sanp.data.pictures import read_picture
    from tests.support.own_network import OwnNet

    kept = data.load("image-stream", root=folder)
    for name, split in (("train", kept.train), ("val", kept.test)):
        with webdataset.ShardWriter(str(tmp_path / f"{name}-%04d.tar"), maxcount=50, verbose=0) as writer:
            for row in range(len(split)):
                path, _ = split.pictures.open(row)
                writer.write({"__key__": path.stem, "img": path.read_bytes(), "cls": int(split.labels[row])})

    def sample(item):
        pixels = read_picture(item["img"], item["__key__"], 16)
        return torch.from_numpy(pixels) / 64.0 - 2.0, int(item["cls"])

    def pipeline(pattern, shuffle):
        urls = [str(path) for path in sorted(tmp_path.glob(pattern))]
        made = webdataset.WebDataset(urls, shardshuffle=len(urls) if shuffle else False, seed=3)
        return (made.shuffle(100) if shuffle else made).map(sample).batched(20, partial=not shuffle)

    own = sanp.TrainingData(pipeline("train-*.tar", True), pipeline("val-*.tar", False), steps=10)
    result = sanp.train(OwnNet(2), own, output=tmp_path / "run", progress=False, method="dense", pretrain_epochs=10,
                        lr=0.1, budget=1.0)  # fmt: skip
    assert result.accuracy > 0.9


_MEMORY = """
import json, resource, sys
from pathlib import Path

import torch
import sanp.training.run as run_module
import sanp.training.streams as streams_module
from sanp.methods.registry import train_settings
from sanp.training import train
from sanp.training.streams import StreamSource

torch.set_num_threads(1)
# As many as the small set has, and small batches: what is left of the growth follows from the set.
run_module._RECALIBRATION_IMAGES, streams_module._BATCH = 64, 8
small, large, keep = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "keep"
plain, kept = StreamSource._batches, []


def peaks():
    # The highest resident memory that this process, and any worker that has ended, ever had; the system keeps them.
    return sum(1024 * resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def run(root):
    config = train_settings(
        model="tests.support.own_network:Patches", dataset="image-stream", data_root=root, image_size=224, batch_size=8,
        data_options={"workers": 1}, method="dense", pretrain_epochs=1, budget=1.0, device="cpu",
    )
    train(config, output=root / "run", progress=False)


def remembering(self, loader):
    for batch in plain(self, loader):
        kept.append(batch.images.clone())
        yield batch


run(small)
before = peaks()
if keep:
    StreamSource._batches = remembering
run(large)
print(json.dumps({"growth": peaks() - before}))
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_set_ten_times_larger_than_the_limit(tmp_path):
    """Peak growth of the memory of the run and its worker, against a set that would take ten times as much in memory.

    Measured, not enforced: torch reserves more addresses than it uses, so a limit on those says nothing. What the run
    and its worker share counts twice. The same measure sees pictures that are kept, which shows that it can fail: a
    quarter of them, because they are float32 and the pictures of a set in memory are bytes.
    """
    count, limit = 6000, 80 * 2**20  # the stream grew by 6 to 56 MiB: threads of the allocator keep what they free
    for name, pictures in (("small", 64), ("stream", count), ("keep", count // 4)):
        bars(tmp_path / name, train=64, test=8, size=(64, 48))
        for label in ("upper", "lower"):
            folder = tmp_path / name / "train" / label
            files = sorted(folder.iterdir())
            for number in range(pictures // 2 - len(files)):
                os.link(files[number % len(files)], folder / f"more-{number:05}{files[number % len(files)].suffix}")
    assert count * 3 * 224 * 224 > 10 * limit
    found = {}
    for keep in ("keep", "stream"):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-c", _MEMORY, str(tmp_path / "small"), str(tmp_path / keep), keep]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        found[keep] = json.loads(done.stdout)["growth"]
    print(f"growth in MiB: { ({key: round(value / 2**20, 1) for key, value in found.items()}) }")
    assert found["stream"] < limit < 10 * limit < found["keep"], found
