"""Fold a gated model: take out channels that are never open, and gates that say the same for every sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from sanp_export.graph.channel_groups import ChannelGroup, channel_groups, node_name
from sanp_export.graph.layer_table import layer_table
from sanp_export.graph.model_file import UNGATED_MODEL, layers_of, metadata_of, to_graph, to_model
from sanp_export.graph.patterns import GATE_X, WEIGHT, X, gated_convs, layer_of
from sanp_export.graph.shared_gates import follows, outputs_of
from sanp_export.graph.trace_support import SupportTrace
from sanp_export.passes.connect_active import connect_active
from sanp_export.passes.constant_gates import constant_scale, drop_gate, fix_gates
from sanp_export.passes.densify import densify
from sanp_export.passes.remove_channels import all_active, remove_channels
from sanp_runtime.contract import CHANNEL_GATE, GATE_PREFIX, MACS
from sanp_runtime.network.support import Gate, evaluate, gates_of

# A gate that is always open and whose scale varies by no more than this about its mean is taken for constant.
# docs/methods.md has what other values do.
STEADY = 0.05


@dataclass(frozen=True)
class FoldedLayer:
    """What became of a gated layer.

    before: its channels; kept: the indices of those that stay. gate: "stays", "dropped" (its constant scale is in the
    weights, exactly) or "fixed" (its mean scale is). closed: channels without an open sample, those that stay included.
    open: channels that are open for every sample. scale: of the kept channels where the gate has gone, else empty.
    reason: a sentence for people.
    """

    before: int
    kept: tuple[int, ...]
    gate: str
    closed: int
    open: int
    scale: tuple[float, ...]
    reason: str

    def to_json(self) -> dict[str, object]:
        """Plain JSON."""
        return {**asdict(self), "kept": list(self.kept), "scale": list(self.scale)}


@dataclass(frozen=True)
class Folded:
    """model: what is left; closed: the whole model with the same channels closed and the same gates fixed, its oracle.

    layers: gated layer of the model before -> what became of it.
    """

    model: onnx.ModelProto
    closed: onnx.ModelProto
    layers: Mapping[str, FoldedLayer]

    @property
    def approximates(self) -> bool:
        """Whether a gate that depends on the sample has been replaced by its mean."""
        return any(row.gate == "fixed" for row in self.layers.values())


def fold(
    model: onnx.ModelProto, scales: Mapping[str, np.ndarray], *, multiple: int = 1, steady: float | None = STEADY
) -> Folded:
    """Fold an exported model by what its gates did.

    scales: gated layer with a learned gate -> float32 [n, Co] on n samples, 0 = closed; static gates need none, and
    a learned one without samples is left as it is. multiple: widths stay a multiple of this, by keeping closed
    channels. steady: gates that are always open, and whose scale moves by no more than this share about its mean, are
    replaced by the mean; None: none is. The model is not changed.
    """
    graph = to_graph(model)
    graph.outputs = [output for output in graph.outputs if output.name != MACS]
    for conv in gated_convs(graph):
        all_active(conv)
    graph.cleanup().toposort()
    own = [conv for conv in gated_convs(graph) if not follows(conv)]
    known = {layer_of(conv): _Known.of(conv, scales.get(layer_of(conv))) for conv in own}
    stays = _remove(graph, known, multiple)
    layers = {name: _drop(graph, name, row, stays[name], steady) for name, row in known.items()}
    graph.cleanup().toposort()
    connect_active(graph)
    return Folded(_finished(graph, model), _closed(model, known, layers), layers)


def as_parent(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network before it was folded, without gates: what the folded one is measured beside."""
    graph = to_graph(model)
    densify(graph)
    graph.outputs = [output for output in graph.outputs if not output.name.startswith((GATE_PREFIX, MACS))]
    graph.cleanup().toposort()
    return _finished(graph, model)


@dataclass(frozen=True)
class _Known:
    """What is known of a gate. active: bool [Co], open for some sample; always: bool [Co], open for every sample.

    scale: float32 [Co] if it is the same for all samples, else None; mean, spread: of the scale on the samples, [Co].
    """

    active: np.ndarray
    always: np.ndarray
    scale: np.ndarray | None
    mean: np.ndarray
    spread: float

    @staticmethod
    def of(conv: gs.Node, scales: np.ndarray | None) -> _Known:
        constant, channels = constant_scale(conv), conv.inputs[WEIGHT].shape[0]
        if constant is not None:
            opened = np.asarray(constant > 0)
            return _Known(opened, opened, constant, constant, 0.0)
        if scales is None or not len(scales):
            return _Known(np.ones(channels, bool), np.zeros(channels, bool), None, np.zeros(channels), np.inf)
        mean = scales.mean(0, dtype=np.float64)
        used = mean > 0
        spread = float((np.abs(scales - mean).max(0)[used] / mean[used]).max()) if used.any() else 0.0
        opened = np.asarray(scales > 0)
        return _Known(np.asarray(opened.any(0)), np.asarray(opened.all(0)), None, mean.astype(np.float32), spread)


@dataclass
class _Stay:
    """Channels of a layer that stay; why closed ones do, and how many for the multiple."""

    kept: np.ndarray
    why: str = ""
    padding: int = 0


def _remove(graph: gs.Graph, known: Mapping[str, _Known], multiple: int) -> dict[str, _Stay]:
    """Remove from every group what all its readers see as zero."""
    trace, stays = SupportTrace(), {}
    active = {name: row.active[None] for name, row in known.items()}
    groups = channel_groups(graph)
    plans = [_plan(group, trace, active, multiple) for group in groups]  # before any width changes
    for group, (keep, why, padding) in zip(groups, plans):
        for node in group.sources:
            if layer_of(node) in known:
                stays[layer_of(node)] = _Stay(keep, why, padding)
        remove_channels(group, keep)
    return stays


def _plan(
    group: ChannelGroup, trace: SupportTrace, active: Mapping[str, np.ndarray], multiple: int
) -> tuple[np.ndarray, str, int]:
    """Channels that stay, why closed ones do, and how many for the multiple."""
    everything = np.arange(group.channels)
    if group.obstacle is not None:
        return everything, group.obstacle, 0
    seen, why = np.zeros(group.channels, bool), "all would leave, and one must stay"
    for node in group.readers:
        support = trace.of(node.inputs[GATE_X if node.op == CHANNEL_GATE else X])
        ones = np.ones((1, group.channels), bool)
        here = evaluate(support, {k: v.astype(int) for k, v in active.items()}, lambda c: np.ones((1, c), int), _join)
        here = np.broadcast_to(np.asarray(here) != 0, ones.shape)[0]
        if (here & ~seen).any():
            why = f"{node_name(node)} also gets them from a layer that has them open"
        seen |= here
    wanted = max(1, int(seen.sum()))
    rounded = min(group.channels, -(-wanted // multiple) * multiple)
    spare = np.flatnonzero(~seen)[: rounded - int(seen.sum())]
    keep = np.sort(np.concatenate([np.flatnonzero(seen), spare]))
    return keep, why, rounded - wanted


def _join(parts: object) -> np.ndarray:
    return np.concatenate(parts, axis=1)  # type: ignore[call-overload]


def _drop(graph: gs.Graph, name: str, row: _Known, stay: _Stay, most: float | None) -> FoldedLayer:
    """Take out the gate of a layer if its scale is constant and no closed channel is left for it to skip."""
    kept, before = stay.kept, len(row.active)
    left = int((~row.active[kept]).sum())  # closed channels that stay
    scale = row.scale
    steady = scale is None and most is not None and bool(row.always[kept].all()) and row.spread <= most
    if steady:
        scale = row.mean
    present = [conv for conv in gated_convs(graph) if conv.outputs]  # those that were dropped wait for the cleanup
    conv = next(conv for conv in present if layer_of(conv) == name)
    followers = [other for other in present if follows(other) and name in gates_of(outputs_of(other))]
    alone = all(outputs_of(other) == Gate(name) for other in followers)  # not beside other leaders
    drops = scale is not None and left == 0 and alone
    if drops:
        assert scale is not None
        for other in followers:
            drop_gate(graph, other, np.ones(len(kept)))
        drop_gate(graph, conv, scale[kept])
    gate = ("fixed" if steady else "dropped") if drops else "stays"
    values = tuple(float(value) for value in scale[kept]) if drops and scale is not None else ()
    return FoldedLayer(before, tuple(map(int, kept)), gate, int((~row.active).sum()), int(row.always.sum()), values,
                       _reason(row, stay, left, gate))  # fmt: skip


def _reason(row: _Known, stay: _Stay, left: int, gate: str) -> str:
    removed, parts = np.delete(row.active, stay.kept), []
    if len(removed):
        unread = f" ({int(removed.sum())} are open, but only closed ones read them)" if removed.any() else ""
        parts.append(f"removed: {len(removed)}{unread}")
    if left > stay.padding:
        parts.append(f"closed and kept: {left - stay.padding} ({stay.why})")
    if left and stay.padding:
        parts.append(f"closed and kept for the multiple: {min(left, stay.padding)}")
    if gate == "dropped":
        parts.append("the gate is the same for every sample and is now in the weights")
    elif gate == "fixed":
        parts.append(f"the gate is always open, its scale varies by {row.spread:.1%}: its mean is now in the weights")
    elif left:
        parts.append("the gate stays, to skip them")
    elif row.always[stay.kept].all():
        parts.append(f"the gate is always open but stays: its scale varies by {row.spread:.0%}")
    else:
        parts.append("the gate stays: it decides for each sample")
    return "; ".join(parts)


def _closed(model: onnx.ModelProto, known: Mapping[str, _Known], layers: Mapping[str, FoldedLayer]) -> onnx.ModelProto:
    """The model before, with the gates doing what the folded one does."""
    graph = to_graph(model)
    graph.outputs = [output for output in graph.outputs if output.name != MACS]
    removed = {name: np.setdiff1d(np.arange(row.before), row.kept) for name, row in layers.items()}
    scales = {}
    for name, row in layers.items():
        if row.gate == "fixed":
            scales[name] = np.zeros(row.before, np.float32)
            scales[name][list(row.kept)] = row.scale
    fix_gates(graph, {name: rows for name, rows in removed.items() if len(rows)}, scales)
    return to_model(graph, metadata_of(model))


def _finished(graph: gs.Graph, model: onnx.ModelProto) -> onnx.ModelProto:
    """The file of a rewritten graph, with its layer table in the order in which the layers run."""
    order = {row.name: place for place, row in enumerate(layers_of(model))}
    sizes = {row.name: row.out_hw for row in layers_of(model)}
    layers = sorted(layer_table(graph, sizes), key=lambda row: order.get(row.name, len(order)))
    metadata = metadata_of(model)
    gates = metadata["sanp.gates"] if any(row.gated for row in layers) else UNGATED_MODEL
    return to_model(graph, {**metadata, "sanp.gates": gates, "sanp.layers": json.dumps([r.to_json() for r in layers])})
