"""Fits the constants of the cost model to measured times by least squares; says how well it then chooses plans."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.gpu.cost_model import FITTED, Problem, constants, estimated_cycles

# Fitted beside the constants of the source: rates of the multipliers, and what every launch costs.
EXTRA = ("products_per_cycle", "fma_per_cycle", "launch_us")
LAUNCH_US = 2.0
Residuals = Callable[[np.ndarray], np.ndarray]
LEAST_ROWS, MOST_ROWS = 12, 600  # more are thinned out evenly: they cost time and decide nothing
FARTHEST = math.log(20.0)  # no constant may move further than this factor from today's


@dataclass(frozen=True)
class Timed:
    """One plan of one shape and its measured time. shape: what the plans of a shape have in common."""

    shape: str
    problem: Problem
    us: float


@dataclass(frozen=True)
class Choice:
    """Time of the plans that the model chooses over that of the best timed ones: geometric mean, worst, and where."""

    mean: float
    worst: float
    worst_shape: str


@dataclass(frozen=True)
class Fit:
    """Today's and the fitted constants; errors are root mean squares of the log of estimate over time."""

    rows: int
    today: dict[str, float]
    fitted: dict[str, float]
    today_error: float
    fitted_error: float
    today_choice: Choice
    fitted_choice: Choice

    def as_json(self) -> dict:
        """Plain data."""
        return asdict(self)


def predicted_us(timed: Timed, k: Mapping[str, float], clock_mhz: float) -> float:
    """Estimated microseconds of one launch."""
    return estimated_cycles(timed.problem, k) / clock_mhz + k["launch_us"]


def fit(rows: Sequence[Timed], clock_mhz: float) -> Fit:
    """Least squares over the logarithm of time. ValueError with fewer than 12 rows."""
    if len(rows) < LEAST_ROWS:
        raise ValueError(f"{len(rows)} timed plans, expected at least {LEAST_ROWS}")
    sample = rows[:: -(-len(rows) // MOST_ROWS)]
    today = constants() | {"launch_us": LAUNCH_US}
    names = [*FITTED, *EXTRA]
    start = np.log([today[name] for name in names])

    def with_logs(theta: np.ndarray) -> dict[str, float]:
        return today | dict(zip(names, map(float, np.exp(theta))))

    def residuals(theta: np.ndarray) -> np.ndarray:
        k = with_logs(theta)
        return np.array([math.log(predicted_us(row, k, clock_mhz) / row.us) for row in sample])

    theta = levenberg_marquardt(residuals, start)
    fitted = with_logs(theta)
    return Fit(
        len(rows), {name: today[name] for name in names}, {name: fitted[name] for name in names},
        _rms(residuals(start)), _rms(residuals(theta)), choice(rows, today), choice(rows, fitted),
    )  # fmt: skip


def levenberg_marquardt(residuals: Residuals, start: np.ndarray, turns: int = 40) -> np.ndarray:
    """Parameters near `start` with a smaller sum of squares; a little pull towards `start` keeps idle ones in place."""
    pull = 1e-2

    def whole(theta: np.ndarray) -> np.ndarray:
        return np.concatenate([residuals(theta), pull * (theta - start)])

    theta, damping = start.copy(), 1e-2
    now = whole(theta)
    for _ in range(turns):
        jacobian = np.stack([(whole(theta + 1e-3 * axis) - now) / 1e-3 for axis in np.eye(len(theta))], axis=1)
        normal = jacobian.T @ jacobian
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -jacobian.T @ now)
        tried = start + np.clip(theta + step - start, -FARTHEST, FARTHEST)
        then = whole(tried)
        if then @ then < now @ now:
            theta, now, damping = tried, then, damping / 3
        else:
            damping *= 4
            if damping > 1e8:
                break
    return theta


def choice(rows: Sequence[Timed], k: Mapping[str, float]) -> Choice:
    """How much slower the model's choice is than the best plan that was timed, over the shapes with several plans."""
    shapes: dict[str, list[Timed]] = {}
    for row in rows:
        shapes.setdefault(row.shape, []).append(row)
    ratios = {}
    for name, plans in shapes.items():
        if len(plans) > 1:
            chosen = min(plans, key=lambda row: estimated_cycles(row.problem, k))
            ratios[name] = chosen.us / min(row.us for row in plans)
    if not ratios:
        return Choice(1.0, 1.0, "no shape with several plans")
    worst = max(ratios, key=lambda name: ratios[name])
    return Choice(math.exp(sum(map(math.log, ratios.values())) / len(ratios)), ratios[worst], worst)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
