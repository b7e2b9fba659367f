"""The support algebra: which channels of a tensor can be nonzero, given which gates are open.

An expression describes the channels of one tensor. The PyTorch cost tracker, the ONNX pass that wires `in_active` and
the per-sample MAC counter on the device all use the same expressions, so that they cannot disagree.

    network input, ungated convolution   Dense(channels)
    gated convolution                    Gate(layer)
    depthwise layer that follows         the gates that it follows
    ReLU, pooling, dropout               unchanged
    addition                             any_of([...])   a channel is active if it is active in any operand
    concatenation                        concat([...])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple, Union

from sanp_targets.errors import InputError


@dataclass(frozen=True)
class Dense:
    """All channels can be nonzero."""

    channels: int


@dataclass(frozen=True)
class Gate:
    """The channels that the gate of `layer` leaves open."""

    layer: str


@dataclass(frozen=True)
class AnyOf:
    """Logical OR of tensors of equal width; build it with `any_of`."""

    parts: Tuple["Support", ...]


@dataclass(frozen=True)
class Concat:
    """Concatenation along the channel axis; build it with `concat`."""

    parts: Tuple["Support", ...]


Support = Union[Dense, Gate, AnyOf, Concat]


def any_of(parts: Sequence[Support]) -> Support:
    """OR of supports: nested ORs are flattened, repeats dropped, and one dense operand makes the result dense."""
    flat: Dict[Support, None] = {}
    for part in parts:
        flat.update(dict.fromkeys(part.parts if isinstance(part, AnyOf) else (part,)))
    for part in flat:
        if isinstance(part, Dense):
            return part
    return next(iter(flat)) if len(flat) == 1 else AnyOf(tuple(flat))


def concat(parts: Sequence[Support]) -> Support:
    """Concatenation of supports; nested concatenations are flattened and neighbouring dense parts merged."""
    flat: "list[Support]" = []
    for part in parts:
        for leaf in part.parts if isinstance(part, Concat) else (part,):
            if flat and isinstance(leaf, Dense) and isinstance(flat[-1], Dense):
                flat[-1] = Dense(flat[-1].channels + leaf.channels)
            else:
                flat.append(leaf)
    return flat[0] if len(flat) == 1 else Concat(tuple(flat))


def evaluate(
    support: Support,
    masks: Mapping[str, Any],
    ones: Callable[[int], Any],
    join: Callable[[Sequence[Any]], Any],
) -> Any:
    """Channel mask [N, C] (1 = can be nonzero) of a tensor with this support.

    masks: layer -> 0/1 array [N, C_layer], NumPy or torch; ones(c) makes an all-one [N, c] array of the same kind;
    join concatenates along axis 1.
    """
    if isinstance(support, Dense):
        return ones(support.channels)
    if isinstance(support, Gate):
        return masks[support.layer]
    parts = [evaluate(part, masks, ones, join) for part in support.parts]
    if isinstance(support, Concat):
        return join(parts)
    result = parts[0]
    for part in parts[1:]:
        result = result + part - result * part  # OR on 0/1 values, for NumPy and torch alike
    return result


def gates_of(support: Support) -> Tuple[str, ...]:
    """Names of the gated layers that a support depends on, in order of first appearance."""
    if isinstance(support, Gate):
        return (support.layer,)
    if isinstance(support, Dense):
        return ()
    return tuple(dict.fromkeys(name for part in support.parts for name in gates_of(part)))


def to_json(support: Support) -> Dict[str, Any]:
    """The expression as plain JSON: {"dense": 3} | {"gate": "conv1"} | {"any": [...]} | {"concat": [...]}."""
    if isinstance(support, Dense):
        return {"dense": support.channels}
    if isinstance(support, Gate):
        return {"gate": support.layer}
    key = "any" if isinstance(support, AnyOf) else "concat"
    return {key: [to_json(part) for part in support.parts]}


def from_json(value: Any) -> Support:
    """Inverse of `to_json`; raises InputError for anything else."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, content),) = value.items()
        if key == "dense" and type(content) is int and content > 0:
            return Dense(content)
        if key == "gate" and isinstance(content, str):
            return Gate(content)
        if key in ("any", "concat") and isinstance(content, list) and content:
            parts = tuple(from_json(part) for part in content)
            return AnyOf(parts) if key == "any" else Concat(parts)
    raise InputError(
        f"support expression {value!r} is not one of dense, gate, any, concat; the file is damaged: export it again"
    )
