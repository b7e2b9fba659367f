"""`sanp train`: a training run into a folder that holds no other one."""

from __future__ import annotations

from pathlib import Path

from sanp.pipeline.outputs import check_outputs
from sanp.training import TrainConfig, TrainResult
from sanp.training import train as run

# What an earlier run leaves; the journal alone is none, a run that was stopped at once has nothing else.
_RESULTS = ("checkpoint.safetensors", "dense.safetensors", "state.safetensors")


def train(
    config: TrainConfig, *, output: str | Path, progress: bool = True, resume: bool = False, replace: bool = False
) -> TrainResult:
    """`sanp.training.train`, which see, into a folder without an earlier run.

    resume: continue the run in the folder. replace: begin again there. Raises ConfigError if the folder holds a run and
    neither was asked for, or if it is a bundle.
    """
    check_run(Path(output), resume, replace)
    return run(config, output=Path(output), progress=progress, resume=resume)


def check_run(folder: Path, resume: bool, replace: bool) -> None:
    """Refuse a folder that holds a run, unless that is to be continued or replaced, and the folder of a bundle."""
    check_outputs([folder / name for name in _RESULTS], resume or replace)
