"""`sanp train`: a training run into a folder that holds no other one."""

from __future__ import annotations

from pathlib import Path

from sanp.pipeline.outputs import check_outputs
from sanp.settings.train import TrainSettings
from sanp.training import TrainResult
from sanp.training import train as run

# What an earlier run leaves; the journal alone is none, a run that was stopped at once has nothing else.
_RESULTS = ("checkpoint.safetensors", "dense.safetensors", "state.safetensors")


def train(
    settings: TrainSettings, *, output: str | Path, progress: bool = True, resume: bool = False, replace: bool = False
) -> TrainResult:
    """`sanp.training.train`, which see, into a folder without an earlier run.

    resume: continue the run in the folder. replace: begin again there. Raises ConfigError if the folder holds a run and
    neither was asked for, or if it lies in a bundle.
    """
    check_outputs([Path(output) / name for name in _RESULTS], resume or replace)
    return run(settings, output=Path(output), progress=progress, resume=resume)
