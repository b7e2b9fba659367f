"""Training: run the stages of a method, and measure what it reaches."""

from __future__ import annotations

from sanp.training.evaluation import Evaluation, evaluate
from sanp.training.opening import as_data
from sanp.training.recalibration import recalibrate
from sanp.training.result import TrainResult
from sanp.training.start import check, load_data, train

__all__ = ["Evaluation", "TrainResult", "as_data", "check", "evaluate", "load_data", "recalibrate", "train"]
