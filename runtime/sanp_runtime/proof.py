"""Proof of acceleration: every gated layer ran in our kernel and not as the standard operators of its function.

ONNX Runtime runs a bundle without complaint when the operator library does not match: it inlines the functions and is
merely slow. So the claim is checked where the work happens, in the list of nodes that really executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

import numpy as np

from sanp_runtime.node_times import node_times
from sanp_runtime.onnx_session import PROVIDER, onnxruntime_version
from sanp_targets.errors import AccelerationError, InputError

if TYPE_CHECKING:
    from sanp_runtime.engine import Engine


@dataclass(frozen=True)
class Proof:
    """What executed. gated_nodes: node -> operator expected; accelerated: those that ran as that operator."""

    graph: str
    gated_nodes: Dict[str, str]
    accelerated: Tuple[str, ...]
    isa: Optional[str]
    library_version: Optional[str]
    onnxruntime: str

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
                f"{self.library_version or 'absent'} on ONNX Runtime {self.onnxruntime}: load the bundle with "
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


def prove(engine: "Engine") -> Proof:
    """Run one sample of zeros under the profiler; InputError for the dense graph, where there is nothing to prove."""
    if not engine.gated:
        raise InputError(f"graph {engine.graph!r} has no gated layer, so there is nothing to prove; use graph='model'")
    expected = expected_nodes(engine)
    sample = np.zeros((1, *engine.manifest.input["shape"]), np.float32)
    ran = {(row.name, row.op) for row in node_times(engine, [sample]) if row.provider == PROVIDER}
    return Proof(
        graph=engine.graph,
        gated_nodes=expected,
        accelerated=tuple(name for name, op in expected.items() if (name, op) in ran),
        isa=engine.isa,
        library_version=engine.library.version if engine.library else None,
        onnxruntime=onnxruntime_version(),
    )


def expected_nodes(engine: "Engine") -> Dict[str, str]:
    """Node name -> operator for the gated layers of a graph; a layer has a gate node if it has a saliency module."""
    nodes: Dict[str, str] = {}
    for name in engine.gated:
        if engine.graph != "replay" and engine.manifest.layer(name).spm_hidden:
            nodes[f"{name}/gate"] = "SanpChannelGate"
        nodes[f"{name}/conv"] = "SanpGatedConv"
    return nodes
