"""Proof of acceleration: every gated layer ran in our kernel and not as the standard operators of its function.

ONNX Runtime runs a bundle without complaint when the operator library does not match: it inlines the functions and is
merely slow. So the claim is checked where the work happens: in the list of nodes that really executed, or in TensorRT's
account of the layers of an engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.contract import (
    CHANNEL_GATE,
    DENSE,
    FLOAT_GATED,
    GATED_CONV,
    GATED_QLINEAR_CONV,
    INVERTED_RESIDUAL,
    ONNXRUNTIME,
    QLINEAR_CHANNEL_GATE,
    REPLAY,
    UNGATED,
    conv_node,
    gate_node,
)
from sanp_runtime.network.blocks import inside
from sanp_targets.errors import AccelerationError, InputError


@dataclass(frozen=True)
class Proof:
    """What executed. gated_nodes: node -> operator expected; accelerated: those that ran as that operator.

    isa: instruction set or GPU architecture of the kernels; seen_in: whose account this is, with its version.
    """

    variant: str
    gated_nodes: Dict[str, str]
    accelerated: Tuple[str, ...]
    isa: Optional[str]
    library_version: Optional[str]
    seen_in: str

    @property
    def missing(self) -> Tuple[str, ...]:
        """Nodes that did not run in our kernel."""
        return tuple(name for name in self.gated_nodes if name not in self.accelerated)

    @property
    def passed(self) -> bool:
        """True if every gated node ran in our kernel."""
        return not self.missing

    def require(self) -> "Proof":
        """This proof; AccelerationError naming the layers if some did not run in our kernel."""
        if self.missing:
            raise AccelerationError(
                f"{len(self.missing)} of {len(self.gated_nodes)} gated nodes did not run in our kernel: "
                f"{', '.join(self.missing)[:400]}; expected all of them with library "
                f"{self.library_version or 'absent'} in {self.seen_in}: load the bundle with "
                "its library or compile it again"
            )
        return self

    def summary(self) -> str:
        """One line for a person."""
        where = f"library {self.library_version}, {self.isa}" if self.library_version else "no operator library"
        return f"{len(self.accelerated)} of {len(self.gated_nodes)} gated nodes ran in our kernels ({where})"

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return dict(self.__dict__, accelerated=list(self.accelerated), missing=list(self.missing), passed=self.passed)

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> "Proof":
        """The proof that `to_json` wrote, here or on a board."""
        return Proof(
            variant=row["variant"],
            gated_nodes=dict(row["gated_nodes"]),
            accelerated=tuple(row["accelerated"]),
            isa=row["isa"],
            library_version=row["library_version"],
            seen_in=row["seen_in"],
        )


def expected_nodes(manifest: Manifest, variant: str) -> Dict[str, str]:
    """Node name -> operator for the gated layers of a variant and those that follow them; a layer has a gate node if it
    has a saliency module.

    A block that is one node (`Manifest.blocks`) proves its three layers by it. Layers that were compiled to standard
    operators (`Manifest.native`) have no node to prove. Raises InputError for a
    variant of standard operators, where there is nothing to prove.
    """
    if variant in UNGATED:
        cure = "use variant='gated'" if manifest.gated else "a network without gates runs in the backend's own kernels"
        if manifest.pixel_gated:
            cure = (
                f"its {len(manifest.pixel_gated)} layers with gated pixels were seen to run in our kernel by `compile`"
            )
        if manifest.our_layers and variant == DENSE:
            cure = f"its {len(manifest.our_layers)} layers in our kernels were seen to run there by `compile`"
        raise InputError(f"variant {variant!r} has no gated layer, so there is nothing to prove; {cure}")
    nodes: Dict[str, str] = {}
    made = {} if variant == FLOAT_GATED else manifest.int8
    blocks = manifest.blocks_of(variant)
    in_blocks = inside(blocks)
    nodes.update(dict.fromkeys(blocks, INVERTED_RESIDUAL))
    layers, gates = made.get("layers", ()), made.get("byte_gates", ())
    for name in manifest.masked:
        if variant != REPLAY and manifest.layer(name).has_saliency and manifest.gate_kernels:
            nodes[gate_node(name)] = QLINEAR_CHANNEL_GATE if name in gates else CHANNEL_GATE
        if name not in manifest.native and name not in in_blocks:
            nodes[conv_node(name)] = GATED_QLINEAR_CONV if name in layers else GATED_CONV
    # Layers of bytes without a gate run in our kernels too.
    if manifest.target["backend"] == ONNXRUNTIME:  # elsewhere bytes are the backend's own
        nodes.update({conv_node(name): GATED_QLINEAR_CONV for name in layers})
    return nodes
