"""Comparisons of an engine with PyTorch's reference, in NumPy alone: kernels (L0), gate decisions (L1), task (L2)."""

from __future__ import annotations

from sanp_runtime.validate.agreement import AgreementReport, agreement_check
from sanp_runtime.validate.gates import Flip, GateReport, gate_check
from sanp_runtime.validate.metric import MetricReport, metric_check
from sanp_runtime.validate.on_device import self_test
from sanp_runtime.validate.replay import ReplayReport, replay_check
from sanp_runtime.validate.task import TaskReport, task_check
from sanp_runtime.validate.validation import Validation, compare

__all__ = [
    "AgreementReport",
    "Flip",
    "GateReport",
    "MetricReport",
    "ReplayReport",
    "TaskReport",
    "Validation",
    "agreement_check",
    "compare",
    "gate_check",
    "metric_check",
    "replay_check",
    "self_test",
    "task_check",
]
