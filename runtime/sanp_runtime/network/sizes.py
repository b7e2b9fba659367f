"""A network for a fixed list of image sizes: what its layers and outputs are at each of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from sanp_runtime.network.layers import Layer
from sanp_targets.errors import InputError

Size = Tuple[int, int]
_WRITTEN = re.compile(r"\s*(\d{1,6})x(\d{1,6})\s*")


@dataclass(frozen=True)
class SizeTable:
    """One size of the images, (height, width).

    out_hw: layer -> height and width of its output there; outputs: name -> shape of a sample.
    """

    size: Size
    out_hw: Mapping[str, Size]
    outputs: Mapping[str, Tuple[int, ...]]

    def layers_of(self, layers: Sequence[Layer]) -> Tuple[Layer, ...]:
        """A layer table of the network, as it is for images of this size."""
        return tuple(replace(row, out_hw=self.out_hw[row.name]) for row in layers)

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        return {
            "size": list(self.size),
            "out_hw": {name: list(pair) for name, pair in self.out_hw.items()},
            "outputs": {name: list(shape) for name, shape in self.outputs.items()},
        }

    @staticmethod
    def from_json(row: Any) -> "SizeTable":
        """Read one size; InputError if a field is missing, unknown or of the wrong type."""
        if not isinstance(row, dict) or set(row) != {"size", "out_hw", "outputs"}:
            raise InputError(
                f"a size of the images is {row!r:.100}, expected size, out_hw and outputs; export it again"
            )
        pairs: List[Any] = [row["size"], *row["out_hw"].values()] if isinstance(row["out_hw"], dict) else [None]
        shapes: List[Any] = list(row["outputs"].values()) if isinstance(row["outputs"], dict) else [None]
        if not all(_counts(pair) and len(pair) == 2 for pair in pairs) or not all(map(_counts, shapes)):
            raise InputError(f"a size of the images is {row!r:.100}, expected positive integers in it; export it again")
        return SizeTable(
            (row["size"][0], row["size"][1]),
            {name: (pair[0], pair[1]) for name, pair in row["out_hw"].items()},
            {name: tuple(shape) for name, shape in row["outputs"].items()},
        )


def problem(tables: Sequence[SizeTable], own: Size, layers: Sequence[Layer], outputs: Sequence[str]) -> Optional[str]:
    """Why these tables do not describe a network with these layers and outputs; None if they do.

    own: the size of the layer table, which is one of them.
    """
    sizes = [table.size for table in tables]
    if len(set(sizes)) != len(sizes) or own not in sizes:
        return f"{in_words(sizes)}, expected every size once, and {text_of(own)} among them"
    for table in tables:
        if set(table.out_hw) != {row.name for row in layers} or set(table.outputs) != set(outputs):
            return f"other layers or outputs for {text_of(table.size)} than the layer table has"
        if table.size == own and table.layers_of(layers) != tuple(layers):
            return f"other sizes of layers for {text_of(own)} than the layer table has"
    return None


def text_of(size: Size) -> str:
    """A size as it is written: "320x256" is 320 high and 256 wide."""
    return f"{size[0]}x{size[1]}"


def size_of(text: str) -> Size:
    """The size that a text means; InputError for anything but HEIGHTxWIDTH."""
    found = _WRITTEN.fullmatch(text)
    if found is None or not int(found[1]) or not int(found[2]):
        raise InputError(f"the size is {text!r:.40}, expected height and width such as 320x256; correct it")
    return int(found[1]), int(found[2])


def in_words(sizes: Sequence[Size]) -> str:
    """Sizes in a sentence."""
    return ", ".join(map(text_of, sizes)) or "none"


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value > 0 for value in values)
