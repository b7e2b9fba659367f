"""Which kernel algorithm of every gated layer is fastest on this machine: the search, apart from the clock.

The algorithms race inside the whole network (`plan_race.py`). A plan names one for every layer, so as many plans as the
richest layer has algorithms time all of them in all layers. That heat is short; it names one challenger per layer.
All challengers together then meet the cost model in two long races, whose numbers are not those that chose them. Both
have new engines, created in the other order: where an engine lies in memory moves a layer by some percent for as long
as the engine lives, and equal kernels were seen to differ by 8 % in one such race. Who wins both is kept, unless the
whole network is slower with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

Plan = Mapping[str, str]

# A gain below this is not worth a plan that fits one machine.
MARGIN = 0.03
# Chance that two equal algorithms differ this clearly in one race; two must agree.
_LUCK = 0.1
# This much slower in the heat is not worth the long race; the heat is right to about 10 % on a busy machine.
_HOPELESS = 1.15
_HEAT_ROUNDS, _ROUNDS = 9, 31

_Times = TypeVar("_Times")


class Race(Protocol):
    """Times plans side by side. A plan maps layers to algorithms; the cost model chooses for layers without one."""

    def layers(self, plans: Sequence[Plan], rounds: int) -> list[dict[str, np.ndarray]]:
        """For each plan: layer -> ms per call in every round, float64 [rounds]."""

    def network(self, plans: Sequence[Plan], rounds: int) -> list[np.ndarray]:
        """For each plan: ms per call of the whole network in every round, float64 [rounds]."""


@dataclass(frozen=True)
class LayerTimes:
    """One layer: the algorithm of the cost model, the fastest one, ms per call of both, and of all in the heat."""

    model: str
    fastest: str
    model_ms: float
    fastest_ms: float
    tried_ms: Mapping[str, float]


@dataclass(frozen=True)
class Tuned:
    """algorithms: layer -> algorithm where the model was beaten, empty if nothing was kept; network_ms: (model, tuned).

    layers is empty where no layer has two algorithms, network_ms None where no algorithm won.
    """

    algorithms: dict[str, str]
    layers: dict[str, LayerTimes]
    network_ms: tuple[float, float] | None
    kept: bool


def search(candidates: Mapping[str, Sequence[str]], race: Race) -> Tuned:
    """Find the fastest plan. candidates: layer -> possible algorithms, the cost model's choice first."""
    depth = max((len(names) for names in candidates.values()), default=0)
    if depth < 2:
        return Tuned({}, {}, None, True)
    plans = [{name: row[i] for name, row in candidates.items() if 0 < i < len(row)} for i in range(depth)]
    heat = race.layers(plans, _HEAT_ROUNDS)
    tried = {name: _typical(name, row, heat) for name, row in candidates.items()}
    rivals = {name: rival for name, times in tried.items() if (rival := _challenger(times)) is not None}
    races = _both_orders(race.layers, rivals) if rivals else []
    finals = {name: [(model[name], rival[name]) for model, rival in races] for name in rivals}
    algorithms = {name: rivals[name] for name, pairs in finals.items() if all(beats(b, a) for a, b in pairs)}
    pairs = _both_orders(race.network, algorithms) if algorithms else []
    kept = not pairs or not all(beats(model, tuned, margin=0.0) for model, tuned in pairs)
    layers = {name: _row(times, algorithms.get(name), finals.get(name)) for name, times in tried.items()}
    return Tuned(algorithms if kept else {}, layers, _medians(pairs) if pairs else None, kept)


def _both_orders(run: Callable[[Sequence[Plan], int], list[_Times]], plan: Plan) -> list[tuple[_Times, _Times]]:
    """(the cost model's times, those of a plan) in each of two races."""
    first, second = run([{}, plan], _ROUNDS), run([plan, {}], _ROUNDS)
    return [(first[0], first[1]), (second[1], second[0])]


def _medians(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Typical ms of the model and of the plan; the second from ratios within a round, so that drift cancels."""
    model, tuned = (np.concatenate(rounds) for rounds in zip(*pairs))
    typical = float(np.median(model))
    return typical, typical * float(np.median(tuned / model))


def beats(times: np.ndarray, others: np.ndarray, margin: float = MARGIN) -> bool:
    """Whether `times` [rounds] are shorter than `others` by more than `margin`, and too often for luck (sign test)."""
    wins, ties = int((times < others).sum()), int((times == others).sum())
    rounds = len(times) - ties
    luck = sum(math.comb(rounds, count) for count in range(wins, rounds + 1)) / 2**rounds
    return float(np.median(times / others)) < 1 - margin and luck <= _LUCK


def _typical(layer: str, names: Sequence[str], heat: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Algorithm -> ms in the heat, the model's first; paired with the model's, so that drift of the machine cancels."""
    model = heat[0][layer]
    typical = float(np.median(model))
    return {name: typical * float(np.median(heat[i][layer] / model)) for i, name in enumerate(names)}


def _challenger(times: Mapping[str, float]) -> str | None:
    """The fastest algorithm apart from the model's, if it has a chance."""
    model, *others = times
    best = min(others, key=lambda name: times[name], default=None)
    return best if best is not None and times[best] < times[model] * _HOPELESS else None


def _row(
    tried: Mapping[str, float], winner: str | None, final: Sequence[tuple[np.ndarray, np.ndarray]] | None
) -> LayerTimes:
    """Times of the long races where there were any."""
    model = next(iter(tried))
    typical, rival = _medians(final) if final else (tried[model],) * 2
    return LayerTimes(model, winner or model, typical, rival if winner else typical, tried)
