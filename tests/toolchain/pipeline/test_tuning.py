"""The search for a plan with a clock that lies on purpose: what is chosen, what luck and noise cannot do."""

import numpy as np
import pytest

from sanp.pipeline.tune.search import MARGIN, beats, search

CANDIDATES = {
    "stem": ("rows", "columns", "winograd-4"),
    "body": ("winograd-4", "rows", "columns", "winograd-2"),
    "head": ("dot", "pixel-pairs"),
    "only": ("gather",),
}


class FakeRace:
    """Costs in ms by layer and algorithm; noise: spread of every time; drift: load that all plans share in a round."""

    def __init__(self, costs, noise=0.0, drift=0.0, seed=0):
        self.costs, self.noise, self.drift = costs, noise, drift
        self.rng, self.asked = np.random.default_rng(seed), []

    def layers(self, plans, rounds):
        self.asked.append([dict(plan) for plan in plans])
        load = 1 + self.drift * self.rng.random(rounds)
        return [{name: load * self._times(name, plan, rounds) for name in CANDIDATES} for plan in plans]

    def network(self, plans, rounds):
        self.asked.append([dict(plan) for plan in plans])
        return [sum(self._times(name, plan, rounds) for name in CANDIDATES) for plan in plans]

    def _times(self, name, plan, rounds):
        cost = self.costs[name][plan.get(name, CANDIDATES[name][0])]
        return cost * (1 + self.noise * self.rng.standard_normal(rounds))


def costs(**changes):
    """All algorithms of a layer cost the same, except for `changes`: layer -> {algorithm: ms}."""
    return {name: {**dict.fromkeys(row, 1.0), **changes.get(name, {})} for name, row in CANDIDATES.items()}


def test_the_fastest_algorithm_of_each_layer_wins():
    race = FakeRace(costs(stem={"columns": 0.9, "winograd-4": 0.7}, body={"columns": 0.5, "rows": 2.0}))
    tuned = search(CANDIDATES, race)
    assert tuned.algorithms == {"stem": "winograd-4", "body": "columns"} and tuned.kept
    assert set(tuned.layers) == set(CANDIDATES)
    body = tuned.layers["body"]
    assert (body.model, body.fastest, body.model_ms, body.fastest_ms) == ("winograd-4", "columns", 1.0, 0.5)
    assert body.tried_ms == {"winograd-4": 1.0, "rows": 2.0, "columns": 0.5, "winograd-2": 1.0}
    assert tuned.layers["only"].fastest == "gather" and tuned.network_ms == pytest.approx((4.0, 3.2))


def test_all_algorithms_are_timed_in_as_many_plans_as_the_richest_layer_has():
    race = FakeRace(costs())
    search(CANDIDATES, race)
    heat = race.asked[0]
    assert heat[0] == {} and len(heat) == 4
    for name, row in CANDIDATES.items():
        assert [plan[name] for plan in heat if name in plan] == list(row[1:])


def test_the_long_races_take_both_orders_and_only_one_challenger_per_layer():
    race = FakeRace(costs(stem={"winograd-4": 0.8}, body={"rows": 1.3, "columns": 1.4, "winograd-2": 1.5}))
    search(CANDIDATES, race)
    rivals = {"stem": "winograd-4", "head": "pixel-pairs"}
    assert race.asked[1:3] == [[{}, rivals], [rivals, {}]], "no algorithm of body has a chance"
    assert race.asked[3:] == [[{}, {"stem": "winograd-4"}], [{"stem": "winograd-4"}, {}]]


def test_a_small_gain_is_not_taken():
    race = FakeRace(costs(stem={"columns": 1 - MARGIN / 2}))
    tuned = search(CANDIDATES, race)
    assert not tuned.algorithms and tuned.kept and tuned.network_ms is None
    assert tuned.layers["stem"].fastest == "rows"


def test_noise_alone_hardly_ever_wins():
    """200 searches over 3 layers with equal algorithms on a machine that moves every time by 10 %."""
    wins = sum(len(search(CANDIDATES, FakeRace(costs(), 0.1, 0.3, seed)).algorithms) for seed in range(200))
    assert wins <= 12, "2 % of 600 layers"


def test_a_gain_is_found_under_the_same_noise():
    truth = costs(stem={"columns": 0.8}, body={"winograd-2": 0.85})
    expected = {"stem": "columns", "body": "winograd-2"}
    found = [search(CANDIDATES, FakeRace(truth, 0.1, 0.3, seed)).algorithms for seed in range(50)]
    assert sum(algorithms == expected for algorithms in found) >= 45


class Biased(FakeRace):
    """The second engine of a pair lies better in memory, whatever it computes."""

    def layers(self, plans, rounds):
        times = super().layers(plans, rounds)
        return [times[0], {name: 0.9 * row for name, row in times[1].items()}] if len(plans) == 2 else times


def test_luck_of_one_engine_is_not_taken_for_a_gain():
    assert not search(CANDIDATES, Biased(costs(), 0.01)).algorithms
    assert search(CANDIDATES, Biased(costs(stem={"columns": 0.8}), 0.01)).algorithms == {"stem": "columns"}


class Lucky(FakeRace):
    """Challengers look better in the heat than they are."""

    def layers(self, plans, rounds):
        times = super().layers(plans, rounds)
        return times if len(plans) == 2 else [times[0], *({k: 0.5 * v for k, v in row.items()} for row in times[1:])]


def test_the_heat_alone_decides_nothing():
    assert not search(CANDIDATES, Lucky(costs(), 0.01)).algorithms


class Entangled(FakeRace):
    """Each layer is faster with its own choice, and the network slower: the plan evicts what others need."""

    def network(self, plans, rounds):
        return [times * (1.1 if plan else 1.0) for plan, times in zip(plans, super().network(plans, rounds))]


def test_a_slower_network_keeps_the_plan_of_the_model():
    tuned = search(CANDIDATES, Entangled(costs(stem={"columns": 0.8}), 0.01))
    assert not tuned.algorithms and not tuned.kept
    assert tuned.network_ms[0] < tuned.network_ms[1]
    assert tuned.layers["stem"].fastest == "columns", "what was found is still told"


def test_nothing_is_timed_where_there_is_no_choice():
    race = FakeRace(costs())
    tuned = search({"only": ("gather",)}, race)
    assert not race.asked and not tuned.algorithms and not tuned.layers and tuned.kept
    assert search({}, race) == tuned


def test_beating():
    even = np.full(21, 1.0)
    assert beats(even * 0.9, even) and not beats(even, even) and not beats(even, even * 0.9)
    assert not beats(even * 0.98, even) and beats(even * 0.98, even, margin=0.0)
    mixed = np.where(np.arange(21) < 12, 0.9, 1.05)
    assert not beats(mixed, even), "12 of 21 is luck"
    assert beats(np.where(np.arange(21) < 15, 0.9, 1.05), even)
