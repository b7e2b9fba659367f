"""From times of the whole network to times of its layers.

A profiler tells times of layers, but it adds some microseconds to each node, as much as a small layer takes. So what
depends on the channels is fitted to times of whole networks that differ in their masks: nothing is added to those, and
what a layer costs its neighbours is in them too. What no mask changes cannot be told apart that way. It is divided
among the layers as the profiler divides it where nearly all is closed, corrected to the fitted total.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np

from sanp_runtime.latency.least_squares import nonnegative
from sanp_runtime.latency.points import Masks, closed_point
from sanp_runtime.latency.rows import LatencyRow, Shape
from sanp_runtime.latency.unions import count_unions
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import OpenChannels
from sanp_runtime.network.support import Dense
from sanp_targets.errors import InputError

PAIRS, OUTPUTS, INPUTS = "pairs", "outputs", "inputs"
_HELD_OUT = 4  # every so many points judge a fit to the others
_LEAST_POINTS = 8
_POINTS_A_TERM = 3  # fewer leave least squares a choice, and the error of points held out tells little


@dataclass(frozen=True)
class FitError:
    """Relative errors of points that a fit to the others did not see: median, 90th percentile, largest."""

    points: int
    median: float
    p90: float
    largest: float

    @staticmethod
    def of(predicted: np.ndarray, measured: np.ndarray) -> "FitError":
        """Of two series of times."""
        error = np.abs(np.asarray(predicted) / np.asarray(measured) - 1)
        median, p90 = (float(value) for value in np.percentile(error, (50, 90)))
        return FitError(len(error), median, p90, float(error.max()))


@dataclass(frozen=True)
class ClosedTimes:
    """What a profiler tells where one channel of each gate is open: ms of layers, of joining scales, of all nodes."""

    layers_ms: Mapping[str, float]
    unions_ms: float
    total_ms: float


@dataclass(frozen=True)
class Fitted:
    """rows: by shape; union_ms: one addition of scales; other_ms: what belongs to no layer;
    predicted_ms: of each point; error: of those held out.
    """

    rows: Tuple[LatencyRow, ...]
    union_ms: float
    other_ms: float
    predicted_ms: np.ndarray
    error: FitError


def fit(
    layers: Sequence[Layer],
    points: Sequence[Masks],
    measured_ms: np.ndarray,
    closed: ClosedTimes,
) -> Fitted:
    """Fit the rows to `measured_ms` [points]; errors count relative to the time, so that fast masks matter as well.

    Raises InputError for fewer points than `least_points` or times that are not positive.
    """
    require_points(layers, len(points))
    if len(points) != len(measured_ms):
        raise InputError(
            f"{len(points)} masks and {len(measured_ms)} times were given, expected the same number of both; measure "
            "again"
        )
    if not (np.isfinite(measured_ms).all() and (measured_ms > 0).all()):
        raise InputError("a time is not a positive number, expected milliseconds; measure again")
    terms, matrix = _matrix(layers, points)
    held = np.arange(len(points)) % _HELD_OUT == _HELD_OUT - 1
    judged = matrix[held] @ _solved(matrix[~held], measured_ms[~held])
    found = _solved(matrix, measured_ms)
    times = dict(zip(terms, found[1:].tolist()))
    constants = _constants(layers, times, float(found[0]), closed)
    return Fitted(
        rows=tuple(_rows(layers, times, constants.layers_ms)),
        union_ms=constants.union_ms,
        other_ms=constants.other_ms,
        predicted_ms=matrix @ found,
        error=FitError.of(judged, measured_ms[held]),
    )


Term = Tuple[Shape, str]


def least_points(layers: Sequence[Layer]) -> int:
    """How many points a fit to this network needs: three for each of its terms, at least 8."""
    return max(_LEAST_POINTS, _POINTS_A_TERM * len(_terms(layers)))


def require_points(layers: Sequence[Layer], count: int) -> None:
    """InputError for fewer points than `least_points`."""
    if count < least_points(layers):
        raise InputError(
            f"{count} masks were given for the {len(_terms(layers))} terms that masks change in this network, expected "
            f"at least {least_points(layers)} masks; measure more points"
        )


def _terms(layers: Sequence[Layer]) -> List[Term]:
    return list(dict.fromkeys((Shape.of(layer), kind) for layer in layers for kind in _kinds(layer)))


def _matrix(layers: Sequence[Layer], points: Sequence[Masks]) -> Tuple[List[Term], np.ndarray]:
    """The terms that masks change, and how often each occurs in a point: float64 [points, 1 + terms], ones first."""
    columns: Dict[Term, np.ndarray] = {}
    channels = OpenChannels({name: np.concatenate([point[name] for point in points]) for name in points[0]})
    for layer in layers:
        for kind in _kinds(layer):
            count = getattr(channels, kind)(layer)
            key = (Shape.of(layer), kind)
            columns[key] = columns.get(key, np.zeros(len(points))) + count
    return list(columns), np.stack([np.ones(len(points)), *columns.values()], axis=1)


def _kinds(layer: Layer) -> Tuple[str, ...]:
    """What the time of a layer depends on; terms that would be proportional to one another are left out."""
    if not layer.masked:
        return ()
    if isinstance(layer.support, Dense) or layer.is_depthwise:
        return (OUTPUTS,)
    return (PAIRS, OUTPUTS, INPUTS)


def _solved(matrix: np.ndarray, measured: np.ndarray) -> np.ndarray:
    return nonnegative(matrix / measured[:, None], np.ones(len(measured)))


@dataclass(frozen=True)
class _Constants:
    """What no mask changes: by shape of layer, of one addition of scales, and what is left."""

    layers_ms: Mapping[Shape, float]
    union_ms: float
    other_ms: float


def _constants(
    layers: Sequence[Layer], times: Mapping[Term, float], fixed_ms: float, closed: ClosedTimes
) -> _Constants:
    """The profiler's times, corrected to the fitted total of those masks, less what each layer's one channel takes.

    Layers of one shape get their mean. All parts together are `fixed_ms`.
    """
    channels = OpenChannels(closed_point(layers))
    own = [
        sum(float(times[Shape.of(row), kind] * getattr(channels, kind)(row)[0]) for kind in _kinds(row))
        for row in layers
    ]
    factor = (fixed_ms + sum(own)) / closed.total_ms if closed.total_ms > 0 else 0.0
    groups: Dict[Shape, List[float]] = {}
    for layer, variable in zip(layers, own):
        groups.setdefault(Shape.of(layer), []).append(factor * closed.layers_ms.get(layer.name, 0.0) - variable)
    means = {shape: max(0.0, float(np.mean(values))) for shape, values in groups.items()}
    unions = factor * closed.unions_ms
    total = unions + sum(means[Shape.of(layer)] for layer in layers)
    if total > fixed_ms:
        means = {shape: value * fixed_ms / total for shape, value in means.items()}
        unions, total = unions * fixed_ms / total, fixed_ms
    return _Constants(means, unions / max(1, count_unions(layers)), fixed_ms - total)


def _rows(layers: Sequence[Layer], times: Mapping[Term, float], constants: Mapping[Shape, float]) -> List[LatencyRow]:
    return [
        LatencyRow(
            shape,
            tuple(layer.name for layer in layers if Shape.of(layer) == shape),
            constants[shape],
            times.get((shape, PAIRS), 0.0),
            times.get((shape, OUTPUTS), 0.0),
            times.get((shape, INPUTS), 0.0),
        )
        for shape in dict.fromkeys(map(Shape.of, layers))
    ]
