"""Where saved work did not become saved time: the lost time of every layer in three parts, and its main cause."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from sanp_runtime.contract import DENSE, GATED, OPEN
from sanp_runtime.network.layers import Layer
from sanp_runtime.profile.layer_rows import LayerRow, NodeTimes

GATE, KERNEL, NOT_SKIPPED = "gate overhead", "slower kernel", "not skipped"
LAUNCH, FEW_CHANNELS, MEMORY, FIXED = "launch-bound", "too few channels", "memory-bound", "fixed work"

# A layer that loses less than this share of what it could have saved has nothing to explain.
_REACHED = 0.10
# Nor one that loses less than this share of the whole latency: times per node are not that exact.
_NEGLIGIBLE = 0.005
# Time that falls by less than this, of work that falls by at least _MUST_FALL, was not skipped.
_FALLS, _MUST_FALL = 0.05, 0.10
# A layer of at most so many times the shortest node is mostly the call of a node.
_LAUNCHES = 4.0
# One vector of float32 in the widest instruction set: below it lanes stay empty.
_VECTOR = 16
# A layer is held up by memory that moves bytes at this share of the highest rate of the run or more, and has fewer MACs
# for each of them than would keep the arithmetic busy at both highest rates (the ridge of the roofline model: Williams,
# Waterman and Patterson, CACM 52(4), 2009). The highest rates are those of this run, not of the machine.
_BANDWIDTH = 0.5
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerGap:
    """One layer whose work fell, or a block that is one node. Times in ms per call, from the times per node scaled to
    the measured latency.

    macs_saved: share of its MACs that was skipped. saved_ms: dense minus gated time. efficiency: saved_ms over what it
    would be if time fell like MACs; negative if the layer became slower. lost_ms = gate_ms + kernel_ms + unscaled_ms:
    deciding; our kernel being slower (or, negative, faster) than the dense one at the same work; and what did not fall
    with the work. cause: the largest part, and what is behind the third one; None if nothing much was lost. break_even:
    the share of its MACs below which the layer is faster than dense, None if there is none.
    """

    layer: str
    macs_saved: float
    saved_ms: float
    efficiency: float
    lost_ms: float
    gate_ms: float
    kernel_ms: float
    unscaled_ms: float
    cause: Optional[str]
    break_even: Optional[float]


@dataclass(frozen=True)
class Gap:
    """The layers that lose time, the most first; and the network as a whole.

    overhead_ms: time with every gate open minus dense time. break_even: share of the dense MACs below which gating
    pays, 1 if it always does, None if it never does. upper_bound_ms: typical time, p99 (None from few calls) and
    maximum with every gate open, which is the most work that any sample can cause.
    """

    layers: Tuple[LayerGap, ...]
    overhead_ms: float
    break_even: Optional[float]
    upper_bound_ms: Mapping[str, Optional[float]]

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return {
            "layers": [asdict(row) for row in self.layers],
            "overhead_ms": self.overhead_ms,
            "break_even": self.break_even,
            "upper_bound_ms": dict(self.upper_bound_ms),
        }


def break_even(share: float, main: float, opened: float, dense: float) -> Optional[float]:
    """Share of the work below which the time is less than the dense one, by a straight line through two points.

    share: of the work at the time `main`; opened: the time of all the work; dense: to compare with. 1 if even `opened`
    is no slower; None if no share pays, or if less work takes no less time.
    """
    if opened <= dense:
        return 1.0
    if not (0 < share < 1 and main < opened):
        return None
    point = share + (dense - main) * (1 - share) / (opened - main)
    return point if point > 0 else None


def gap_of(
    layers: Sequence[Layer],
    rows: Sequence[LayerRow],
    nodes: Mapping[str, NodeTimes],
    latency: Mapping[str, Mapping[str, Any]],
    typical_ms: Mapping[str, float],
) -> Optional[Gap]:
    """The gap of a profile; None for a network without gates.

    nodes, latency, typical_ms: variant -> times of its nodes, its block of `stats`, its typical latency. Layers whose
    time a backend does not tell in every variant are left out.
    """
    if OPEN not in nodes or GATED not in nodes:
        return None
    scaled = {name: _Scaled(name, nodes[name], typical_ms[name]) for name in (DENSE, OPEN, GATED)}
    tables = {layer.name: layer for layer in layers}
    members = {row.name: [tables[name] for name in row.layers] for row in rows}
    roof = _Roof([(row, members[row.name]) for row in rows], scaled[GATED])
    least = _NEGLIGIBLE * typical_ms[GATED]
    found = [_layer(row, members[row.name], scaled, roof, least) for row in rows]
    lossy = sorted((row for row in found if row is not None), key=lambda row: row.lost_ms, reverse=True)
    full = sum(row.macs_dense for row in rows)
    share = sum(row.macs_gated for row in rows) / full
    return Gap(
        layers=tuple(lossy),
        overhead_ms=typical_ms[OPEN] - typical_ms[DENSE],
        break_even=break_even(share, typical_ms[GATED], typical_ms[OPEN], typical_ms[DENSE]),
        upper_bound_ms={"typical": typical_ms[OPEN], "p99": latency[OPEN]["p99"], "max": latency[OPEN]["max"]},
    )


class _Scaled:
    """Times per node as the profiler saw them, scaled so that all of them add up to the measured latency."""

    def __init__(self, variant: str, nodes: NodeTimes, typical_ms: float) -> None:
        self._variant, self._gates = variant, nodes.gates
        self._factor = typical_ms / nodes.total_ms if nodes.total_ms > 0 else 1.0
        self.least_ms = nodes.least_ms * self._factor

    def layer(self, row: LayerRow) -> Optional[float]:
        found = {DENSE: row.dense_ms, OPEN: row.open_ms, GATED: row.gated_ms}[self._variant]
        return None if found is None else found * self._factor

    def gate(self, row: LayerRow) -> float:
        return sum(self._gates.get(name, 0.0) for name in row.layers) * self._factor

    def conv(self, row: LayerRow) -> Optional[float]:
        found = self.layer(row)
        return None if found is None else found - self.gate(row)


class _Roof:
    """The highest rates of bytes and of MACs that the layers of this run reached, in the network as trained."""

    def __init__(self, rows: Sequence[Tuple[LayerRow, Sequence[Layer]]], times: _Scaled) -> None:
        known = [(row, layers, times.conv(row)) for row, layers in rows]
        timed = [(row, layers, conv) for row, layers, conv in known if conv is not None and conv > 0]
        self._bytes = max((_bytes(row, layers) / conv for row, layers, conv in timed), default=0.0)
        self._macs = max((row.macs_gated / conv for row, _, conv in timed), default=0.0)

    def holds_up(self, row: LayerRow, layers: Sequence[Layer], conv: float) -> bool:
        """Whether memory is what a layer that takes `conv` ms waits for."""
        if conv <= 0 or not self._bytes:
            return False
        moved = _bytes(row, layers)
        return moved / conv >= _BANDWIDTH * self._bytes and row.macs_gated / moved < self._macs / self._bytes


def _layer(
    row: LayerRow, layers: Sequence[Layer], times: Mapping[str, _Scaled], roof: _Roof, least_ms: float
) -> Optional[LayerGap]:
    share = row.macs_gated / row.macs_dense if row.macs_dense else 1.0
    dense, opened, gated = (times[name].layer(row) for name in (DENSE, OPEN, GATED))
    if share >= 1 or dense is None or opened is None or gated is None or dense <= 0:
        return None
    price = times[GATED].gate(row)
    conv, conv_open = gated - price, opened - times[OPEN].gate(row)
    parts = {GATE: price, KERNEL: (conv_open - dense) * share, FIXED: conv - conv_open * share}
    lost, possible = gated - dense * share, dense * (1 - share)
    cause: Optional[str] = None
    if lost > max(_REACHED * possible, least_ms):
        cause = max(parts, key=lambda name: parts[name])
        if cause == FIXED:
            by_memory = roof.holds_up(row, layers, conv)
            cause = _behind(row, layers[0].c_out, conv, conv_open, times[GATED].least_ms, by_memory)
    return LayerGap(
        layer=row.name,
        macs_saved=1 - share,
        saved_ms=dense - gated,
        efficiency=(dense - gated) / possible,
        lost_ms=lost,
        gate_ms=parts[GATE],
        kernel_ms=parts[KERNEL],
        unscaled_ms=parts[FIXED],
        cause=cause,
        break_even=break_even(share, gated, opened, dense),
    )


def _behind(row: LayerRow, channels: int, conv: float, conv_open: float, least_ms: float, by_memory: bool) -> str:
    """Why the time of a convolution did not fall with its work; the first that applies. channels: those of its gate."""
    saved = 1 - row.macs_gated / row.macs_dense
    if conv > (1 - _FALLS) * conv_open and saved >= _MUST_FALL:
        return NOT_SKIPPED
    if conv <= _LAUNCHES * least_ms:
        return LAUNCH
    if (1.0 if row.open_fraction is None else row.open_fraction) * channels < _VECTOR:
        return FEW_CHANNELS
    return MEMORY if by_memory else FIXED


def _bytes(row: LayerRow, layers: Sequence[Layer]) -> float:
    """At least what one sample moves: weights of the channels that are computed, and the maps that come in and go out,
    both at the output's size. Of a block, what is between its layers is never in memory.
    """
    first, last = layers[0], layers[-1]
    pixels, share = row.out_hw[0] * row.out_hw[1], row.macs_gated / row.macs_dense
    opened = 1.0 if row.open_fraction is None else row.open_fraction
    weights = share * sum(one.c_out * one.c_in // one.groups * one.kernel[0] * one.kernel[1] for one in layers)
    inputs = first.c_in * min(1.0, share / opened if opened else 0.0)
    outputs = last.c_out * (opened if len(layers) == 1 else 1.0)
    return _FLOAT_BYTES * (weights + (inputs + outputs) * pixels)
