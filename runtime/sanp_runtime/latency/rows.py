"""A row of a latency table: the time of layers of one shape, as a sum that grows with the channels on both sides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from sanp_runtime.network.blocks import Blocks
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import LayerCost
from sanp_targets.errors import InputError

IN_BLOCK = "in one node with what it reads"  # `Shape.fused` of a projection with a gate


@dataclass(frozen=True)
class Shape:
    """What decides how long a layer takes: two layers of one shape share a row, in whichever network they are.

    fused: of the expansion of a block that is one node, what else is in that node, in words; else empty.
    """

    c_in: int
    c_out: int
    out_hw: Tuple[int, int]
    kernel: Tuple[int, int]
    groups: int
    gated: bool
    follows: bool
    gate_hidden: int
    gate_direct: bool
    fused: str = ""

    @staticmethod
    def of(layer: Layer, fused: str = "") -> "Shape":
        """The shape of a layer."""
        return Shape(
            layer.c_in,
            layer.c_out,
            (layer.out_hw[0], layer.out_hw[1]),
            (layer.kernel[0], layer.kernel[1]),
            layer.groups,
            layer.gated,
            layer.follows is not None,
            layer.gate_hidden,
            layer.gate_direct,
            fused,
        )

    def __str__(self) -> str:
        height, width = self.out_hw
        kind = "gated" if self.gated else "following" if self.follows else "without a gate"
        groups = f" in {self.groups} groups" if self.groups > 1 else ""
        return (
            f"{self.c_in} to {self.c_out} channels{groups}, {self.kernel[0]}x{self.kernel[1]} at {height}x{width}, "
            f"{kind}" + (f", {self.gate_hidden} hidden units" if self.gate_hidden else "")
        ) + (f", {self.fused}" if self.fused else "")


def shapes_of(layers: Sequence[Layer], blocks: Optional[Blocks] = None) -> List[Optional[Shape]]:
    """The shape of the row that has the time of each layer; None where another layer's row has it.

    A block that is one node has one row, under its expansion: all its layers get cheaper by the same channels, so no
    measurement tells them apart. A projection whose own channels close has a row for what that saves.
    """
    table, found = {layer.name: layer for layer in layers}, {layer.name: Shape.of(layer) for layer in layers}
    shapes: Dict[str, Optional[Shape]] = dict(found)
    for names in (blocks or {}).values():
        expand, depthwise, project = (table[name] for name in names)
        size, (height, width) = "x".join(map(str, depthwise.kernel)), depthwise.out_hw
        inner = f"in one node with {size} at {height}x{width} and a projection to {project.c_out} channels"
        shapes[expand.name], shapes[depthwise.name] = Shape.of(expand, inner), None
        shapes[project.name] = Shape.of(project, IN_BLOCK) if project.masked else None
    return [shapes[layer.name] for layer in layers]


@dataclass(frozen=True)
class LatencyRow:
    """Milliseconds of a layer: constant_ms + pair_ms * pairs + output_ms * open outputs + input_ms * active inputs.

    A pair is an open output and an active input of one group, as `OpenChannels.pairs` counts them.

    None of them is negative, so that the time falls with every channel that closes on either side. layers: those of the
    network that was measured.
    """

    shape: Shape
    layers: Tuple[str, ...]
    constant_ms: float
    pair_ms: float = 0.0
    output_ms: float = 0.0
    input_ms: float = 0.0

    @property
    def cost(self) -> LayerCost:
        """The same for whoever counts."""
        return LayerCost(self.pair_ms, self.output_ms, self.constant_ms, self.input_ms)

    def time_ms(self, active_in: float, active_out: float) -> float:
        """Time of a layer with so many active input and open output channels, alike in all its groups."""
        pairs = active_in * active_out / self.shape.groups
        return self.constant_ms + self.pair_ms * pairs + self.output_ms * active_out + self.input_ms * active_in

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        row = asdict(self)
        row["shape"].update(out_hw=list(self.shape.out_hw), kernel=list(self.shape.kernel))
        return {**row, "layers": list(self.layers)}

    @staticmethod
    def from_json(row: Any) -> "LatencyRow":
        """Read one row; InputError for anything that `to_json` does not write."""
        try:
            shape = dict(row["shape"], out_hw=tuple(row["shape"]["out_hw"]), kernel=tuple(row["shape"]["kernel"]))
            found = LatencyRow(**{**row, "shape": Shape(**shape), "layers": tuple(row["layers"])})
            times = (found.constant_ms, found.pair_ms, found.output_ms, found.input_ms)
            if not all(type(value) in (int, float) and value >= 0 for value in times):
                raise ValueError("a time is negative or no number")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"a row of the latency table is {row!r:.200}, expected a shape and times from 0 on ({error}); measure "
                "the table again"
            ) from error
        return found
