"""The budget dial of an engine: which thresholds a call feeds, so that a sample costs as much as was asked for."""

from __future__ import annotations

from typing import Callable, Dict, Optional

import numpy as np

from sanp_runtime.bundle.budgets import TRAINED, find
from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.contract import GATED, threshold_input
from sanp_targets.errors import ConfigError, InputError

Feeds = Dict[str, np.ndarray]


class Dial:
    """The thresholds of every budget of a bundle, for one of its variants."""

    def __init__(self, manifest: Manifest, variant: str) -> None:
        self._name, self._variant = manifest.name, variant
        self._settings = manifest.budgets if variant == GATED else ()
        self.layers = tuple(self._settings[0].thresholds) if self._settings else ()
        self.inputs = tuple(map(threshold_input, self.layers))
        self._values = {
            row.budget: np.array([row.thresholds[name] for name in self.layers], np.float32) for row in self._settings
        }

    def check(self, budget: float) -> float:
        """The budget as it stands in the manifest; InputError for one that the bundle or the variant does not have."""
        if self._variant != GATED:
            raise InputError(
                f"a budget was given to the {self._variant} variant, whose gates do not decide by thresholds; use the "
                f"variant {GATED}"
            )
        if not self._settings and budget == TRAINED:
            return TRAINED
        return find(self._settings, budget, self._name).budget

    def values(self, budget: float) -> np.ndarray:
        """Thresholds float32 [gates] of a budget that passed `check`, in the order of `inputs`."""
        return self._values.get(budget, np.zeros(0, np.float32))

    def feeds(self, budget: Optional[float]) -> Feeds:
        """Inputs of a call at a budget that passed `check`. None and 1 feed nothing: the graph has their thresholds."""
        if budget is None or budget == TRAINED:
            return {}
        return _views(self.inputs, self.values(budget).copy())


class BoundDial:
    """The dial of one bound call, which keeps its thresholds in one array that the backend reads."""

    def __init__(self, dial: Dial, bind: Optional[Callable[[Feeds], object]]) -> None:
        """bind: binds further inputs of the call; None if the backend cannot."""
        self._dial, self._bind = dial, bind
        self._array: Optional[np.ndarray] = None
        self.budget = TRAINED

    def turn(self, budget: float) -> None:
        """Let the next calls run at a budget; InputError for one that the bundle does not have."""
        known = self._dial.check(budget)
        values = self._dial.values(known)
        if self._array is None and known != TRAINED:  # bound when it is first needed: unused, the dial costs nothing
            if self._bind is None:
                raise ConfigError("this backend has no budget dial, expected ONNX Runtime; compile for such a target")
            self._array = values.copy()
            self._bind(_views(self._dial.inputs, self._array))
        elif self._array is not None:
            self._array[:] = values
        self.budget = known


def _views(names: tuple, values: np.ndarray) -> Feeds:
    """Input -> its element of one array, float32 [1]."""
    return {name: values[index : index + 1] for index, name in enumerate(names)}
