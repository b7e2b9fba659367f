"""Turn the budget dial while a network runs: by temperature, so that the board stays cool, or by a deadline per call.

    sanp compile net.onnx -o net.sanp --budgets "[0.85, 0.7]"
    python examples/turn_dial.py net.sanp --hottest 70
    python examples/turn_dial.py net.sanp --deadline 2.5

Needs `sanp_runtime` and its numpy and onnxruntime. The images are those of the bundle; a program of yours has a camera.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sanp_runtime import Engine, load
from sanp_runtime.bundle.budgets import BudgetSetting
from sanp_targets.pseudo_files import Root
from sanp_targets.sensors.temperature import temperatures_c


class Governor(Protocol):
    """Says at which of the budgets the next call runs."""

    def next_budget(self, budget: float, call_ms: float) -> float:
        """budget, call_ms: of the call that has just ended."""
        ...


class ByTemperature:
    """One budget down when a sensor is at `hottest` degrees Celsius, one up again when all are `margin` below.

    The margin keeps it from turning back and forth. Sensors are read every `every_s` seconds, because they are slow.
    """

    def __init__(
        self, budgets: Sequence[float], hottest: float, margin: float = 5.0, every_s: float = 1.0, root: Root = "/"
    ) -> None:
        self._budgets, self._hottest, self._margin = sorted(budgets), hottest, margin
        self._every_s, self._root, self._looked = every_s, root, -float("inf")

    def next_budget(self, budget: float, call_ms: float) -> float:
        """The budget for the next call."""
        now = time.monotonic()
        if now - self._looked < self._every_s:
            return budget
        self._looked = now
        warmest = max(temperatures_c(self._root).values(), default=None)
        if warmest is None:
            raise SystemExit("no temperature can be read here; run with --deadline instead")
        if warmest >= self._hottest:
            return step(self._budgets, budget, -1)
        return step(self._budgets, budget, 1) if warmest <= self._hottest - self._margin else budget


class ByDeadline:
    """One budget down when more than one call in ten is late, one up when the larger one would be in time too.

    What a larger budget would take is not known beforehand: it is estimated from the calls at this one and the times
    that `compile` measured, or the MACs where it measured none. Only their ratio counts, so another machine will do.
    """

    def __init__(self, settings: Sequence[BudgetSetting], deadline_ms: float, calls: int = 20) -> None:
        self._settings = {row.budget: row for row in settings}
        self._deadline, self._calls, self._recent = deadline_ms, calls, []

    def next_budget(self, budget: float, call_ms: float) -> float:
        """The budget for the next call."""
        self._recent.append(call_ms)
        self._recent = self._recent[-self._calls :]
        if len(self._recent) < self._calls:
            return budget
        slow = float(np.percentile(self._recent, 90))
        larger = step(sorted(self._settings), budget, 1)
        if slow > self._deadline:
            chosen = step(sorted(self._settings), budget, -1)
        else:
            chosen = larger if slow * self._ratio(larger, budget) < 0.95 * self._deadline else budget
        if chosen != budget:
            self._recent.clear()
        return chosen

    def _ratio(self, other: float, budget: float) -> float:
        one, two = self._settings[other], self._settings[budget]
        return one.typical_ms / two.typical_ms if one.typical_ms and two.typical_ms else one.macs / two.macs


def step(budgets: Sequence[float], budget: float, by: int) -> float:
    """The neighbour of a budget in a rising list, or itself at an end."""
    return budgets[min(max(budgets.index(budget) + by, 0), len(budgets) - 1)]


def run(engine: Engine, images: np.ndarray, governor: Governor, seconds: float) -> Counter[float]:
    """Answer images for so long, one a call; calls by budget."""
    call, counts, end = engine.bind(images[:1]), Counter(), time.monotonic() + seconds
    while time.monotonic() < end:
        call.input[...] = images[sum(counts.values()) % len(images)]
        start = time.perf_counter()
        call()
        counts[call.budget] += 1
        budget = governor.next_budget(call.budget, 1e3 * (time.perf_counter() - start))
        if budget != call.budget:
            print(f"call {sum(counts.values())}: budget {call.budget:g} -> {budget:g}")
            call.budget = budget
    return counts


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    rule = parser.add_mutually_exclusive_group(required=True)
    rule.add_argument("--hottest", type=float, help="degrees Celsius that no sensor should reach")
    rule.add_argument("--deadline", type=float, help="ms that a call may take")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    with load(arguments.bundle) as engine:
        settings = engine.manifest.budgets
        if not settings:
            raise SystemExit(f'{arguments.bundle} has no budgets; compile it with --budgets "[0.85, 0.7]"')
        budgets = [row.budget for row in settings]
        governor: Governor = (
            ByDeadline(settings, arguments.deadline)
            if arguments.deadline
            else ByTemperature(budgets, arguments.hottest)
        )
        counts = run(engine, engine.bundle.reference().x, governor, arguments.seconds)
    for budget in budgets:
        print(f"budget {budget:g}: {counts[budget]} calls")


if __name__ == "__main__":
    main()
