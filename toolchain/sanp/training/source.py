"""`Source`: the one interface through which training, calibration and evaluation get their samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from sanp.data.batch import Batch


@dataclass(frozen=True)
class Facts:
    """What is known about the data of a run.

    shape: of an image, (C, H, W). classes: None where labels are no classes or nobody said how many. batch_size:
    samples of a step in this process, the largest where they differ. steps: batches of a training epoch in each
    process. mean, std: what the images are normalised with, empty where that is the user's affair.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int | None
    batch_size: int
    steps: int
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


class Source(Protocol):
    """The data of a run in one of its processes. All batches are on the device of the run.

    What a source yields follows from its arguments alone, so that a resumed run continues with the same batches
    without a saved state.
    """

    facts: Facts

    def epoch(self, seed: int, number: int, skip: int = 0) -> Iterator[Batch]:
        """This process's training batches of an epoch, from batch `skip` on. number: of the epoch in the whole run."""
        ...

    def augment(self, batch: Batch) -> Batch:
        """A training batch as a step sees it, random from torch's global generator; the batch itself by default."""
        ...

    def samples(self, most: int) -> Iterator[Batch]:
        """The first `most` training samples or a few more, as evaluation sees them, in batches of near-equal size."""
        ...

    def draw(self, seed: int, count: int) -> Iterator[Batch]:
        """`count` random training samples or a few more, as a step sees them; the same ones at every call."""
        ...

    def validation(self) -> Iterator[Batch]:
        """The samples that the network is judged on. Of several processes each may have a share, or all of them."""
        ...

    def fit(self, classes: int | None) -> None:
        """Take in how many logits the network has; None where labels are no classes."""
        ...

    def close(self) -> None:
        """Let go of processes that load."""
        ...
