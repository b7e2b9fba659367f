"""Kill a training run at its n-th event, for each n, resume it, and compare: python -m ... FOLDER FIRST STRIDE.

An event is a training step, a row of the journal, or one of the file operations of a save. SIGKILL leaves no time to
tidy up, which an exception would. One process imports everything and forks for every run: it never trains itself,
since autograd does not survive a fork. Prints one JSON line: events of a whole run, and those after which a resumed
run ended with other weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sanp.checkpoint import tensor_file
from sanp.methods.registry import train_settings
from sanp.training import train
from sanp.training.loop import Loop
from sanp.training.progress import Journal
from sanp.training.start import load_data

SETTINGS = {
    "width": 0.1, "dataset": "mixcues", "data_options": {"modes": 2, "train_size": 150, "val_size": 10,
    "test_size": 50}, "image_size": 16, "batch_size": 50, "pretrain_epochs": 1, "warmup_epochs": 1, "joint_epochs": 2,
    "log_every": 1, "save_every_s": 0.0,
}  # fmt: skip
EVENTS = (
    (Loop, "_step"), (Journal, "epoch"), (Journal, "restart"), (tempfile, "mkstemp"), (os, "fsync"), (Path, "chmod"),
    (Path, "replace"), (Path, "unlink"),
)  # fmt: skip


def killed_at(number: int, seen: list[str]) -> None:
    """From now on, die before the event of this number; names of events are added to `seen`."""

    def watched(plain: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            seen.append(name)
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(*args, **keywords)

        return call

    for owner, name in EVENTS:
        setattr(owner, name, watched(getattr(owner, name), name))


def forked(work: Callable[[], object]) -> int:
    """The exit status of a child that does the work; what it returns goes to a file that the work names."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def digest(folder: Path) -> str:
    """Of all weights, and of the test result."""
    description, tensors = tensor_file.read(folder / "checkpoint.safetensors", "checkpoint")
    found = hashlib.sha256(json.dumps(description["metadata"]["test"]).encode())
    for name in sorted(tensors):
        found.update(tensors[name].numpy().tobytes())
    return found.hexdigest()


def main() -> None:
    """See above."""
    root, first, stride = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    settings = train_settings(**SETTINGS)
    dataset = load_data(settings)

    def run(folder: Path, resume: bool = False) -> None:
        train(settings, output=folder, progress=False, resume=resume, dataset=dataset)

    def whole() -> None:
        seen: list[str] = []
        killed_at(0, seen)
        run(root / "whole")
        (root / "events").write_text(json.dumps(seen))

    empty = train_settings(**{**SETTINGS, "pretrain_epochs": 0, "warmup_epochs": 0, "joint_epochs": 0, "budget": 1.0})
    train(
        empty, output=root / "empty", progress=False, dataset=dataset
    )  # imports all that training does, without a step
    assert forked(whole) == 0
    events, expected = json.loads((root / "events").read_text()), digest(root / "whole")
    other = []
    for number in range(first, len(events) + 1, stride):
        folder = root / "killed"

        def killed(number: int = number, folder: Path = folder) -> None:
            killed_at(number, [])
            run(folder)

        def resumed(folder: Path = folder) -> None:
            run(folder, resume=(folder / "state.safetensors").is_file())

        assert forked(killed) == signal.SIGKILL, number
        if forked(resumed) != 0 or digest(folder) != expected:
            other.append([number, events[number - 1]])
        shutil.rmtree(folder)
    print(json.dumps({"events": len(events), "kinds": sorted(set(events)), "other": other}))


if __name__ == "__main__":
    main()
