"""From times of the whole network to times of its layers.

A profiler tells times of layers, but it adds some microseconds to each node, as much as a small layer takes. So what
depends on the channels is fitted to times of whole networks that differ in their masks: nothing is added to those, and
what a layer costs its neighbours is in them too. What no mask changes cannot be told apart that way. It is divided
among the layers as the profiler divides it where nearly all is closed, corrected to the fitted total.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.latency.least_squares import nonnegative
from sanp_runtime.latency.points import Masks, closed_point
from sanp_runtime.latency.rows import IN_BLOCK, LatencyRow, Shape, shapes_of
from sanp_runtime.latency.unions import count_unions
from sanp_runtime.network.blocks import Blocks
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
    blocks: Optional[Blocks] = None,
) -> Fitted:
    """Fit the rows to `measured_ms` [points]; errors count relative to the time, so that fast masks matter as well.

    blocks: those of the bundle that was timed.

    Raises InputError for fewer points than `least_points` or times that are not positive.
    """
    require_points(layers, len(points), blocks)
    timed = _timed(layers, blocks)
    if len(points) != len(measured_ms):
        raise InputError(
            f"{len(points)} masks and {len(measured_ms)} times were given, expected the same number of both; measure "
            "again"
        )
    if not (np.isfinite(measured_ms).all() and (measured_ms > 0).all()):
        raise InputError("a time is not a positive number, expected milliseconds; measure again")
    terms, matrix = _matrix(timed, points)
    held = np.arange(len(points)) % _HELD_OUT == _HELD_OUT - 1
    judged = matrix[held] @ _solved(matrix[~held], measured_ms[~held])
    found = _solved(matrix, measured_ms)
    times = dict(zip(terms, found[1:].tolist()))
    constants = _constants(timed, count_unions(layers), times, float(found[0]), closed)
    return Fitted(
        rows=tuple(_rows(timed, times, constants.layers_ms)),
        union_ms=constants.union_ms,
        other_ms=constants.other_ms,
        predicted_ms=matrix @ found,
        error=FitError.of(judged, measured_ms[held]),
    )


Term = Tuple[Shape, str]
Timed = Sequence[Tuple[Layer, Shape]]  # layers whose time a row of their own has


def _timed(layers: Sequence[Layer], blocks: Optional[Blocks]) -> Timed:
    return [(layer, shape) for layer, shape in zip(layers, shapes_of(layers, blocks)) if shape is not None]


def least_points(layers: Sequence[Layer], blocks: Optional[Blocks] = None) -> int:
    """How many points a fit to this network needs: three for each of its terms, at least 8."""
    return max(_LEAST_POINTS, _POINTS_A_TERM * len(_terms(_timed(layers, blocks))))


def require_points(layers: Sequence[Layer], count: int, blocks: Optional[Blocks] = None) -> None:
    """InputError for fewer points than `least_points`."""
    least = least_points(layers, blocks)
    if count < least:
        terms = len(_terms(_timed(layers, blocks)))
        raise InputError(
            f"{count} masks were given for the {terms} terms that masks change in this network, expected at least "
            f"{least} masks; measure more points"
        )


def _terms(timed: Timed) -> List[Term]:
    return list(dict.fromkeys((shape, kind) for layer, shape in timed for kind in _kinds(layer, shape)))


def _matrix(timed: Timed, points: Sequence[Masks]) -> Tuple[List[Term], np.ndarray]:
    """The terms that masks change, and how often each occurs in a point: float64 [points, 1 + terms], ones first."""
    columns: Dict[Term, np.ndarray] = {}
    channels = OpenChannels({name: np.concatenate([point[name] for point in points]) for name in points[0]})
    for layer, shape in timed:
        for kind in _kinds(layer, shape):
            count = getattr(channels, kind)(layer)
            key = (shape, kind)
            columns[key] = columns.get(key, np.zeros(len(points))) + count
    return list(columns), np.stack([np.ones(len(points)), *columns.values()], axis=1)


def _kinds(layer: Layer, shape: Shape) -> Tuple[str, ...]:
    """What the time of a layer depends on; terms that would be proportional to one another are left out."""
    if not layer.masked:
        return ()
    if isinstance(layer.support, Dense) or layer.is_depthwise:
        return (OUTPUTS,)
    return (PAIRS, OUTPUTS) if shape.fused == IN_BLOCK else (PAIRS, OUTPUTS, INPUTS)


def _solved(matrix: np.ndarray, measured: np.ndarray) -> np.ndarray:
    return nonnegative(matrix / measured[:, None], np.ones(len(measured)))


@dataclass(frozen=True)
class _Constants:
    """What no mask changes: by shape of layer, of one addition of scales, and what is left."""

    layers_ms: Mapping[Shape, float]
    union_ms: float
    other_ms: float


def _constants(
    timed: Timed, unions: int, times: Mapping[Term, float], fixed_ms: float, closed: ClosedTimes
) -> _Constants:
    """The profiler's times, corrected to the fitted total of those masks, less what each layer's one channel takes.

    Layers of one shape get their mean. All parts together are `fixed_ms`.
    """
    channels = OpenChannels(closed_point([layer for layer, _ in timed]))
    own = [
        sum(float(times[shape, kind] * getattr(channels, kind)(layer)[0]) for kind in _kinds(layer, shape))
        for layer, shape in timed
    ]
    factor = (fixed_ms + sum(own)) / closed.total_ms if closed.total_ms > 0 else 0.0
    groups: Dict[Shape, List[float]] = {}
    for (layer, shape), variable in zip(timed, own):
        groups.setdefault(shape, []).append(factor * closed.layers_ms.get(layer.name, 0.0) - variable)
    means = {shape: max(0.0, float(np.mean(values))) for shape, values in groups.items()}
    joined = factor * closed.unions_ms
    total = joined + sum(means[shape] for _, shape in timed)
    if total > fixed_ms:
        means = {shape: value * fixed_ms / total for shape, value in means.items()}
        joined, total = joined * fixed_ms / total, fixed_ms
    return _Constants(means, joined / max(1, unions), fixed_ms - total)


def _rows(timed: Timed, times: Mapping[Term, float], constants: Mapping[Shape, float]) -> List[LatencyRow]:
    return [
        LatencyRow(
            shape,
            tuple(layer.name for layer, own in timed if own == shape),
            constants[shape],
            times.get((shape, PAIRS), 0.0),
            times.get((shape, OUTPUTS), 0.0),
            times.get((shape, INPUTS), 0.0),
        )
        for shape in dict.fromkeys(shape for _, shape in timed)
    ]
