"""The value that a tensor has in its closed channels: one algebra for the training side and for the exported graph.

Zero is only the value behind a gate. `relu6(x + 3)` is 3 there, and `x * relu6(x + 3) / 6` is zero again.
Whoever knows the value needs no list of clamps, thresholds and formulas that keep zero. Only values that half precision
holds are followed, so that 0.1 * 10 - 1 is not called zero where the device would find 2e-4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sanp_runtime.network.support import Dense, Support, any_of, concat


@dataclass(frozen=True)
class Closed:
    """Outside of `support` every element of the tensor is exactly `value`; support None: it is a number.

    In place of a Closed, None means that nothing is known: every channel can have any value.
    """

    support: Support | None
    value: float = 0.0


def support_of(known: Closed | None, channels: int) -> Support:
    """The channels that can be nonzero, of a tensor with `channels` channels."""
    if known is None or known.support is None or known.value != 0:
        return Dense(channels)
    return known.support


def elementwise(operands: Sequence[Closed | None], evaluate: Callable[..., float]) -> Closed | None:
    """Result of an operation whose arithmetic is exact; `evaluate` takes the operands' values in closed channels."""
    known = [item for item in operands if item is not None]
    if len(known) != len(operands):
        return None
    return _known([item.support for item in known], float(evaluate(*[item.value for item in known])))


def keeps_zero(operand: Closed | None) -> Closed | None:
    """Result of an operation of which only f(0) = 0 is certain, on every machine and to the last bit."""
    return operand if operand is not None and operand.value == 0 else None


def product(operands: Sequence[Closed | None], evaluate: Callable[..., float]) -> Closed | None:
    """A product is zero where either factor is; an AND has no expression, so the first such factor stands for it."""
    zero = [item for item in operands if item is not None and item.value == 0 and item.support is not None]
    return zero[0] if zero else elementwise(operands, evaluate)


def quotient(operands: Sequence[Closed | None], evaluate: Callable[..., float]) -> Closed | None:
    """A quotient is known where its denominator is known and not zero: zero by zero is not a number."""
    denominator = operands[1]
    if denominator is None or denominator.value == 0:
        return None
    return elementwise(operands, evaluate)


def select(condition: Closed | None, yes: Closed | None, no: Closed | None) -> Closed | None:
    """Elements of `yes` where the condition holds, else of `no`."""
    if condition is not None:
        chosen = yes if condition.value else no
        return None if chosen is None else _known([condition.support, chosen.support], chosen.value)
    if yes is not None and no is not None and yes.value == no.value:
        return _known([yes.support, no.support], yes.value)
    return None


def concatenation(operands: Sequence[Closed | None], widths: Sequence[int]) -> Closed | None:
    """Tensors side by side along the channels."""
    return Closed(concat([support_of(item, width) for item, width in zip(operands, widths)]))


def beside(operands: Sequence[Closed | None]) -> Closed | None:
    """Tensors side by side along an axis inside the channels."""
    values = {item.value for item in operands if item is not None}
    return elementwise(operands, lambda first, *_: first) if len(values) == 1 else None


def _known(supports: Sequence[Support | None], value: float) -> Closed | None:
    """None for a value that half precision does not hold; a support that is dense somewhere says nothing."""
    parts = [item for item in supports if item is not None]
    with np.errstate(over="ignore"):
        rounded = np.float16(value)
    if not np.isfinite(rounded) or float(rounded) != value:
        return None
    joined = any_of(parts) if parts else None
    return None if isinstance(joined, Dense) else Closed(joined, value)
