"""The table of layers of a network: what each convolution costs, and which channels reach it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

from sanp_runtime.network.support import Dense, Gate, Support, from_json, to_json
from sanp_targets.errors import InputError


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer (a linear layer is a 1x1 convolution on a 1x1 map).

    `support` describes its input channels; `gated` says whether its own output channels have a gate of the same name;
    `gate_hidden` is the hidden width of its saliency module, 0 if it has none. `gate_direct`: the module is one fully
    connected layer from the input channels to the gates, without a hidden layer. `follows`: a depthwise layer without
    a gate of its own, whose output channels are open where these gates of the layers that feed it are; else None.
    """

    name: str
    c_in: int
    c_out: int
    out_hw: Tuple[int, int]
    kernel: Tuple[int, int] = (1, 1)
    groups: int = 1
    gated: bool = False
    gate_hidden: int = 0
    head: bool = False
    support: Support = field(default=Dense(1))
    gate_direct: bool = False
    follows: Optional[Support] = None

    @property
    def masked(self) -> bool:
        """Whether its output channels can be closed: it has a gate, or follows one."""
        return self.gated or self.follows is not None

    @property
    def outputs(self) -> Support:
        """Which of its output channels are computed."""
        if self.gated:
            return Gate(self.name)
        return self.follows if self.follows is not None else Dense(self.c_out)

    @property
    def is_depthwise(self) -> bool:
        """Whether every output channel reads the input channel of the same place alone."""
        return self.groups == self.c_in == self.c_out

    @property
    def has_saliency(self) -> bool:
        """Whether a gate is computed from the layer's input."""
        return self.gated and (self.gate_hidden > 0 or self.gate_direct)

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        row = dict(self.__dict__)
        row.update(out_hw=list(self.out_hw), kernel=list(self.kernel), support=to_json(self.support))
        row["follows"] = None if self.follows is None else to_json(self.follows)
        return row

    @staticmethod
    def from_json(row: Any) -> "Layer":
        """Read one row of a layer table; InputError if a field is missing, unknown or of the wrong type.

        Tables without `gate_direct` are older than gates without a hidden layer, those without `follows` than layers
        that share a decision.
        """
        kinds = {"name": str, "c_in": int, "c_out": int, "groups": int, "gate_hidden": int, "gated": bool, "head": bool,
                 "gate_direct": bool}  # fmt: skip
        fields = set(kinds) | {"out_hw", "kernel", "support", "follows"}
        row = dict({"gate_direct": False, "follows": None}, **row) if isinstance(row, dict) else row
        if not isinstance(row, dict) or set(row) != fields:
            found = sorted(row) if isinstance(row, dict) else row
            raise InputError(
                f"layer table row has the fields {found}, expected {sorted(fields)}; export the model again"
            )
        for key, kind in kinds.items():
            if type(row[key]) is not kind:
                raise InputError(f"layer table field {key} is {row[key]!r}, expected {kind.__name__}; export it again")
        pairs = {key: row[key] for key in ("out_hw", "kernel")}
        for key, pair in pairs.items():
            if not (isinstance(pair, list) and len(pair) == 2 and all(type(v) is int and v > 0 for v in pair)):
                raise InputError(
                    f"layer table field {key} is {pair!r}, expected two positive integers; export it again"
                )
        row["follows"] = None if row["follows"] is None else from_json(row["follows"])
        values = dict(row, support=from_json(row["support"]), **{key: tuple(pair) for key, pair in pairs.items()})
        return Layer(**values)
