"""TensorRT's own account of an engine: which layers it holds, and which of them are our plugins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

from sanp_runtime.bundle.json_text import parse_json
from sanp_targets.errors import InputError

_ONNX_LAYER = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
# How TensorRT tells the layers of several optimisation profiles apart.
_PROFILE = re.compile(r" \[profile \d+\]$")
# A node of ours inside the name of a fused or reformatting layer: `layer1.0.conv1/conv`, `stem/gate/scale`.
_NODE = re.compile(r"[A-Za-z0-9_./-]*/[A-Za-z0-9_./-]*")


@dataclass(frozen=True)
class EngineLayer:
    """name; kind: TensorRT's layer type; plugin: operator of a plugin layer, "" where TensorRT does not tell.

    nodes: ONNX nodes that the layer computes.
    """

    name: str
    kind: str
    plugin: str
    nodes: Tuple[str, ...]


def read_layers(text: str) -> List[EngineLayer]:
    """Layers from the JSON of the engine inspector (8.5 to 11) or of `trtexec --exportLayerInfo`.

    Raises InputError if it is not that, or if the engine was built without detailed verbosity: then there are only
    names, which prove nothing.
    """
    try:
        rows = parse_json(text)["Layers"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"the layer information is not TensorRT's JSON ({error}), expected a list Layers") from error
    if any(not isinstance(row, dict) for row in rows):
        raise InputError(
            "the layer information holds only names, expected types; build the engine with "
            "--profilingVerbosity=detailed"
        )
    return [_layer(row) for row in rows]


def our_layers(layers: List[EngineLayer], expected: Mapping[str, str]) -> Tuple[str, ...]:
    """Those of the expected nodes (name -> operator) that are a plugin layer of that operator."""
    found: Dict[str, EngineLayer] = {}
    for layer in layers:
        if layer.kind.startswith("Plugin"):
            found.update(dict.fromkeys(layer.nodes, layer))
    return tuple(name for name, op in expected.items() if name in found and found[name].plugin in (op, ""))


def node_name(layer: str) -> str:
    """The ONNX node in the name of a layer ("PWN(stem/act)" -> "stem/act"), or the name itself."""
    match = _NODE.search(layer)
    return match.group(0) if match else layer


def _layer(row: Dict[str, Any]) -> EngineLayer:
    name = _PROFILE.sub("", str(row.get("Name", "")))
    nodes = (name, *_ONNX_LAYER.findall(str(row.get("Metadata", ""))))
    return EngineLayer(name, str(row.get("LayerType", "")), str(row.get("PluginType", "")), nodes)
