"""The outputs of a network: any number of named float32 tensors of any rank; logits are one case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.contract import INPUT, LOGITS, MACS, RESERVED_PREFIXES
from sanp_targets.errors import InputError


@dataclass(frozen=True)
class Output:
    """One output. shape: of a sample, so the tensor is float32 [N, *shape]; an empty one is one number each.

    None in a shape: a size that depends on that of the image, in a network whose images have any size.
    """

    name: str
    shape: Tuple[Optional[int], ...]

    def __str__(self) -> str:
        return f"{self.name} [{', '.join(['N', *('?' if size is None else str(size) for size in self.shape)])}]"

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        return {"name": self.name, "shape": list(self.shape)}

    @staticmethod
    def from_json(row: Any) -> "Output":
        """Read one output; InputError if a field is missing, unknown, of the wrong type, or the name is taken."""
        good = isinstance(row, dict) and set(row) == {"name", "shape"} and isinstance(row["name"], str) and row["name"]
        if not good or not isinstance(row["shape"], list) or not all(map(_is_size, row["shape"])):
            raise InputError(
                f"an output is {row!r:.200}, expected its name and the shape of a sample; compile it again"
            )
        if is_reserved(row["name"]):
            raise InputError(f"an output is called {row['name']!r}, which means something else; compile it again")
        return Output(row["name"], tuple(row["shape"]))


def is_reserved(name: str) -> bool:
    """Whether another tensor of an exported model has this name."""
    return name in (INPUT, MACS) or name.startswith(RESERVED_PREFIXES)


def classes_of(outputs: Sequence[Output]) -> Optional[int]:
    """The number of classes of a network with an output `logits` [N, classes]; None for any other."""
    sizes = [output.shape for output in outputs if output.name == LOGITS]
    return sizes[0][0] if sizes and len(sizes[0]) == 1 else None


def fits(found: Sequence[Output], expected: Sequence[Output]) -> bool:
    """Whether outputs are those that were expected, whatever the sizes that depend on that of the image."""
    return len(found) == len(expected) and all(
        one.name == other.name
        and len(one.shape) == len(other.shape)
        and all(size in (wanted, None) or wanted is None for size, wanted in zip(one.shape, other.shape))
        for one, other in zip(found, expected)
    )


def in_words(outputs: Sequence[Output]) -> str:
    """What a network answers with: "10 classes", or its outputs with their shapes."""
    classes = classes_of(outputs)
    return f"{classes} classes" if classes is not None and len(outputs) == 1 else ", ".join(map(str, outputs))


def rows_of(value: np.ndarray) -> np.ndarray:
    """An output [N, ...] as a matrix [N, elements]."""
    return value.reshape(len(value), int(np.prod(value.shape[1:])))


def join(batches: Sequence[Mapping[str, np.ndarray]]) -> Dict[str, np.ndarray]:
    """Outputs of several batches, one after the other."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _is_size(value: Any) -> bool:
    return value is None or (type(value) is int and value > 0)
