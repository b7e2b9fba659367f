"""Level 2 for a task of one's own: a metric, named "module:function", of an engine beside PyTorch's."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

import numpy as np

from sanp_runtime.bundle.reference import Reference
from sanp_runtime.validate.replay import check_same_outputs
from sanp_runtime.validate.task import check_limits
from sanp_targets.errors import ConfigError, InputError

# metric(outputs, labels) -> a number, the larger the better. outputs: name -> float32 [N, ...]; labels as in
# `Reference`.
Metric = Callable[[Mapping[str, np.ndarray], Optional[np.ndarray]], float]


@dataclass(frozen=True)
class MetricReport:
    """What the metric says of PyTorch and of the engine; `relative` and `max_drop` are the limits that were applied."""

    metric: str
    samples: int
    reference: float
    engine: float
    relative: float
    max_drop: Optional[float]

    @property
    def passed(self) -> bool:
        """True if the engine keeps the relative and the absolute limit; a score that is not finite keeps none."""
        lost = self.reference - self.engine
        if not np.isfinite(lost):
            return False
        allowed = (1 - self.relative) * abs(self.reference) + 1e-9
        return lost <= allowed and (self.max_drop is None or lost <= self.max_drop + 1e-9)

    def summary(self) -> str:
        """One line for a person."""
        limits = f"at least {self.relative:.1%} of PyTorch's"
        limits += f" and a drop of at most {self.max_drop:g}" if self.max_drop is not None else ""
        return (
            f"{self.metric} is {self.engine:.6g} against {self.reference:.6g} in PyTorch on {self.samples} samples; "
            f"limit {'kept' if self.passed else 'missed'}: {limits}"
        )

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON; a value that is not finite becomes null."""
        row = dict(self.__dict__, kind="metric", passed=self.passed, summary=self.summary())
        return {key: None if isinstance(v, float) and not np.isfinite(v) else v for key, v in row.items()}


def load_metric(path: str) -> Metric:
    """The function "module:function", of a module that is installed or in the current folder; else ConfigError."""
    module_name, _, name = path.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConfigError(f"metric is {path!r}, expected module:function; correct the path")
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that no file here hides an installed package
    try:
        function = getattr(importlib.import_module(module_name), name)
    except Exception as error:
        raise ConfigError(
            f"metric {path} cannot be imported ({type(error).__name__}: {error}), expected a function of a module that "
            "is installed or in the current folder; correct the path, or set PYTHONPATH"
        ) from error
    if not callable(function):
        raise ConfigError(f"metric {path} is a {type(function).__name__}, expected a function; correct the name")
    found: Metric = function
    return found


def score(metric: str, outputs: Mapping[str, np.ndarray], labels: Optional[np.ndarray]) -> float:
    """What a metric says; InputError if it fails or returns something else than a number."""
    function = load_metric(metric)
    try:
        value = function(outputs, labels)
        return float(value)
    except Exception as error:
        shapes = {name: list(value.shape) for name, value in outputs.items()}
        raise InputError(
            f"the metric {metric} failed ({type(error).__name__}: {error}), expected a number from the outputs "
            f"{shapes} and {'no labels' if labels is None else f'labels {list(labels.shape)}'}; correct it"
        ) from error


def metric_check(
    metric: str,
    reference: Reference,
    outputs: Mapping[str, np.ndarray],
    *,
    relative: float = 0.99,
    max_drop: Optional[float] = None,
) -> MetricReport:
    """Ask a metric about the outputs of an engine and of PyTorch.

    relative: least score as a share of PyTorch's, of whose size a negative one may lose as much. max_drop: largest
    absolute loss. Raises ConfigError for limits outside 0 to 1 and as `load_metric`, InputError as `score`.
    """
    check_limits(relative, max_drop)
    check_same_outputs(reference.outputs, outputs)
    expected = score(metric, reference.outputs, reference.labels)
    found = score(metric, outputs, reference.labels)
    return MetricReport(metric, len(reference), expected, found, relative, max_drop)
