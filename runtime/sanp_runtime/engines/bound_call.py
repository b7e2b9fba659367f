"""The fast call: arrays that are checked and bound once, then run as often as wanted."""

from __future__ import annotations

import weakref
from types import MappingProxyType
from typing import Callable, Dict, Mapping, NamedTuple, Optional

import numpy as np

from sanp_runtime.contract import MASK_PREFIX
from sanp_runtime.engines.dial import BoundDial, Dial
from sanp_targets.errors import ConfigError

Arrays = Dict[str, np.ndarray]


class Binding(NamedTuple):
    """What a backend made of bound arrays.

    run: compute and fill the outputs, complete when it returns. upload: take over new values of the inputs. release:
    give back what is held for them; called once, before or after the engine is closed. add: bind more inputs, None if
    the backend cannot.
    """

    run: Callable[[], object]
    upload: Callable[[], object]
    release: Callable[[], object]
    add: Optional[Callable[[Arrays], object]] = None


class BoundCall:
    """A batch size of an engine with its arrays; made by `Engine.bind`, run by calling it.

        call = engine.bind(x)                 # x float32 [N, C, H, W]
        call.input[...] = other               # write in place
        call.update()
        logits = call()                       # the array of the first output, filled anew
        call.outputs["boxes"]                 # any other

    input: float32 [N, C, H, W], a copy of what `bind` was given, owned by this object. masks: gated layer -> float32
    [1 or N, Co], copies too. outputs: name -> float32 array, the caller's own or owned by this object. The arrays stay
    the same as long as this object lives: every call fills the same outputs, so copy what must outlive the next call.

    After writing into `input` or a mask, `update` checks the new values and hands them to the backend. ONNX Runtime
    reads the arrays themselves, so that a call without `update` computes with the new values too, unchecked; TensorRT
    computes with the values of the last `update`, which it holds in device memory.

    budget: what a sample may cost, as a share of the network as trained; set it and the next call computes so.

    An engine and all its bound calls are for one thread at a time. Several bound calls of one engine may be used in
    turn. Closing the engine ends them; `close` ends one and gives back its device memory.
    """

    def __init__(
        self, feeds: Arrays, outputs: Arrays, binding: Binding, check: Callable[..., object], dial: Dial
    ) -> None:
        """feeds: the bound inputs by tensor name, the image first. check: called with input and masks by `update`.

        dial: that of the engine.
        """
        self._input = next(iter(feeds.values()))
        masks = {name[len(MASK_PREFIX) :]: value for name, value in feeds.items() if name.startswith(MASK_PREFIX)}
        self._masks, self._outputs = MappingProxyType(masks), MappingProxyType(outputs)
        self._first = next(iter(outputs.values()))
        self._run, self._upload = binding.run, binding.upload
        self._check = check
        self._dial = BoundDial(dial, binding.add)
        self._release = weakref.finalize(self, binding.release)
        self._release.atexit = False  # the process gives everything back

    @property
    def input(self) -> np.ndarray:
        """The images, float32 [N, C, H, W]; write into it."""
        return self._input

    @property
    def masks(self) -> Mapping[str, np.ndarray]:
        """Gated layer -> its mask, float32 [1 or N, Co]; write into them. Only those that `bind` was given."""
        return self._masks

    @property
    def budget(self) -> float:
        """The budget of the next call, 1.0 = as trained; setting one that the bundle does not have is an InputError.

        Takes some microseconds, and costs the calls nothing.
        """
        return self._dial.budget

    @budget.setter
    def budget(self, value: float) -> None:
        self._dial.turn(value)

    @property
    def outputs(self) -> Mapping[str, np.ndarray]:
        """Name -> array that every call fills."""
        return self._outputs

    def __call__(self) -> np.ndarray:
        """Run, fill `outputs`, and return the first of them: the logits unless `bind` was told otherwise."""
        self._run()
        return self._first

    def update(self) -> None:
        """Take over what was written into `input` and `masks`; InputError for values that `bind` would refuse too."""
        self._check(self._input, self._masks)
        self._upload()

    def close(self) -> None:
        """Release what the backend holds for this call, as forgetting it does; later calls raise ConfigError."""
        self._run = self._upload = _closed
        self._release()


def _closed() -> None:
    raise ConfigError("this call or its engine has been closed, so it cannot run; load the bundle and bind again")
