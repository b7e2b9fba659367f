"""Training: pretrain a backbone, warm its gates up, then train both against a budget of multiply-accumulates."""

from __future__ import annotations

from sanp.training.config import TrainConfig
from sanp.training.evaluation import Evaluation, evaluate
from sanp.training.recalibration import recalibrate
from sanp.training.run import TrainResult, train

__all__ = ["Evaluation", "TrainConfig", "TrainResult", "evaluate", "recalibrate", "train"]
