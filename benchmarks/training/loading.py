"""Training images per second from disk: `image-stream` and `tar-shards` beside a plain PyTorch DataLoader.

The plain loader is what people write: Pillow opens and decodes the whole photo, a random crop is cut out and resized,
pixels become normalised float32 in the worker. All three read the same photos, with as many workers and the same size
of batch, and do nothing with the images. Rounds alternate; the first of each is left out. The files lie in the page
cache after it: what is measured is decoding and transport, not the disk.

python -m benchmarks.training.loading --json loading.json
"""

from __future__ import annotations

import math
import random
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.command_line import at_least_two, json_parser
from benchmarks.training.rows import write_rows
from sanp import data
from sanp.data import Streamed
from sanp.settings.train import TrainSettings
from sanp.training.processes import Processes
from sanp.training.streams import StreamSource

PHOTO = (500, 375)  # pixels, about the mean of ImageNet
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


class Plain(Dataset[tuple[torch.Tensor, int]]):
    """A data set as a training script has it."""

    def __init__(self, files: list[Path], size: int) -> None:
        self.files, self.size = files, size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.files[row]) as opened:
            image = opened.convert("RGB")
        width, height = image.size
        for _ in range(10):
            area = width * height * random.uniform(0.08, 1)
            ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
            across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < across <= width and 0 < down <= height:
                break
        else:
            across = down = min(width, height)
        left, top = random.randint(0, width - across), random.randint(0, height - down)
        image = image.crop((left, top, left + across, top + down))
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
        return (pixels - MEAN[:, None, None]) / STD[:, None, None], row % 2


def write_photos(root: Path, count: int) -> list[Path]:
    """JPEG photos of about 100 kB, in ImageNet's layout and in one shard of the webdataset layout."""
    rng = np.random.default_rng(0)
    width, height = PHOTO
    files = []
    with tarfile.open(root / "train-0000.tar", "w") as shard:
        for number in range(count):
            image = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), np.uint8))
            coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(PHOTO)
            image = Image.blend(image.resize(PHOTO, Image.Resampling.BICUBIC), coarse, 0.7)
            path = root / "train" / str(number % 2) / f"{number:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, quality=90)
            label = path.with_suffix(".cls")
            label.write_text(str(number % 2))
            shard.add(path, f"{number:05}.jpg")
            shard.add(label, f"{number:05}.cls")
            label.unlink()
            files.append(path)
    (root / "val").symlink_to(root / "train")
    (root / "val-0000.tar").symlink_to(root / "train-0000.tar")
    return files


def ours(name: str, root: Path, size: int, batch: int, workers: int) -> Callable[[int], int]:
    """A function that fetches an epoch, normalised float32 images as in training, and returns how many they were."""
    found = data.load(name, root, size, workers=workers)
    assert isinstance(found, Streamed)
    settings = TrainSettings(batch_size=batch, image_size=size)
    source = StreamSource(found, settings, Processes(0, 1, torch.device("cpu")))
    return lambda number: sum(len(part) for part in source.epoch(number, number))


def plain(files: list[Path], size: int, batch: int, workers: int) -> Callable[[int], int]:
    """The same for the plain loader."""
    loader = DataLoader(
        Plain(files, size), batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda number: sum(len(images) for images, _ in loader)


def measure(root: Path, files: list[Path], size: int, batch: int, workers: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each of the three; images per second: median and range over the rounds."""
    runs = {
        "plain DataLoader": plain(files, size, batch, workers),
        "image-stream": ours("image-stream", root, size, batch, workers),
        "tar-shards": ours("tar-shards", root, size, batch, workers),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            count = run(number)
            rates[name].append(count / (time.perf_counter() - started))
    return [
        {
            "loader": name, "image_size": size, "batch": batch, "workers": workers, "photos": len(files),
            "photo_bytes": round(statistics.mean(path.stat().st_size for path in files)),
            "images_per_s": statistics.median(found[1:]), "range": [min(found[1:]), max(found[1:])],
        }
        for name, found in rates.items()
    ]  # fmt: skip


def main() -> None:
    """Write photos into a temporary folder and measure each number of workers."""
    made = json_parser(__doc__)
    made.add_argument("--photos", type=int, default=512)
    made.add_argument("--image-size", type=int, default=224)
    made.add_argument("--batch", type=int, default=64)
    made.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    made.add_argument("--rounds", type=at_least_two, default=5)
    arguments = made.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = write_photos(Path(folder), arguments.photos)
        for workers in arguments.workers:
            rows += measure(Path(folder), files, arguments.image_size, arguments.batch, workers, arguments.rounds)
            for row in rows[-3:]:
                print(f"{row['loader']:17} {workers} workers {row['images_per_s']:7.1f} images/s", flush=True)
    if arguments.json is not None:
        write_rows(arguments.json, rows)


if __name__ == "__main__":
    main()
