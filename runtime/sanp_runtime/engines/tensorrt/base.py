"""What the two TensorRT engines share: the stack they were built with, the account of layers, inputs and batch size."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

import numpy as np

from sanp_runtime.bundle.reader import Bundle
from sanp_runtime.contract import (
    PLUGIN_FILE,
    UNGATED,
    conv_node,
    gate_node,
    mask_input,
    plain_name,
)
from sanp_runtime.engines.base import Engine
from sanp_runtime.engines.proof import Proof, expected_nodes
from sanp_runtime.engines.tensorrt.layers import node_name, our_layers, read_layers
from sanp_runtime.engines.tensorrt.versions import check_same
from sanp_targets.sensors import Reading, gpu_governor, read_sensors


class TensorrtBase(Engine):
    """An engine file of a bundle; a subclass runs it."""

    def __init__(self, bundle: Bundle, variant: str, fingerprint: Dict[str, Any]) -> None:
        """fingerprint: TensorRT, GPU and CUDA here; TargetError if the engines were built with others."""
        super().__init__(bundle, variant)
        self.fingerprint = fingerprint
        check_same(self.manifest.build["fingerprint"], fingerprint, bundle.path)
        self.max_batch = int(self.manifest.build["batch"]["max"])
        self._file = bundle.path / self.manifest.build["engines"][variant]["file"]
        self._plugin = bundle.path / PLUGIN_FILE if PLUGIN_FILE in self.manifest.files else None
        masked = () if self.variant in UNGATED else self.manifest.masked
        nodes = [node(name) for name in masked for node in (gate_node, conv_node)]
        self._nodes = {plain_name(node): node for node in nodes}
        widths = {name: self.manifest.layer(name).c_out for name in self.gated}
        self._masks = {mask_input(name): width for name, width in widths.items()}
        self._profiles = {size: index for index, size in enumerate(self.manifest.image_sizes)}

    @classmethod
    def read_sensors(cls) -> Reading:
        """Clock and throttle reasons of the GPU too."""
        return read_sensors(gpu=True)

    @classmethod
    def gpu_governor(cls) -> Dict[str, Dict[str, Any]]:
        """Governor of devfreq on a board, persistence and clock of applications by NVML elsewhere."""
        return gpu_governor()

    def accelerator(self) -> Dict[str, Any]:
        """GPU, compute capability, multiprocessors; TensorRT, CUDA and driver versions."""
        return dict(self.fingerprint)

    def versions(self) -> Dict[str, str]:
        """TensorRT, CUDA and driver."""
        return {key: str(self.fingerprint[key]) for key in ("tensorrt", "cuda", "driver")}

    def _prove(self, layer_information: str, seen_in: str) -> Proof:
        """Compare TensorRT's account of the layers, as JSON, with the layers that should be ours."""
        expected = expected_nodes(self.manifest, self.variant)
        found = our_layers(read_layers(layer_information), {plain_name(name): op for name, op in expected.items()})
        return Proof(
            variant=self.variant,
            gated_nodes=expected,
            accelerated=tuple(name for name in expected if plain_name(name) in found),
            isa=f"sm_{self.fingerprint['sm']}",
            library_version=str(self.manifest.build["fingerprint"].get("plugin", "")) or None,
            seen_in=seen_in,
        )

    def _profile(self, feeds: Mapping[str, np.ndarray]) -> int:
        """The optimisation profile of the images in checked feeds."""
        shape = feeds[self.manifest.input["name"]].shape
        return self._profiles[shape[2], shape[3]]

    def _node(self, layer: str) -> str:
        """The node of the exported model that a layer of the engine computes, as the rest of the runtime names it."""
        found = node_name(layer)
        return self._nodes.get(found, found)

    def _run(self, feeds: Dict[str, np.ndarray], n: int) -> List[np.ndarray]:
        """All samples, at most `max_batch` at a time."""
        parts = []
        for start in range(0, n, self.max_batch):
            count = min(self.max_batch, n - start)
            part = {name: v if len(v) == 1 < n else v[start : start + count] for name, v in feeds.items()}
            parts.append(self._run_part(part, count))
        return [np.concatenate(columns) for columns in zip(*parts)]

    def _run_part(self, feeds: Dict[str, np.ndarray], n: int) -> List[np.ndarray]:
        """The values of `outputs` for n samples that fit the engine."""
        raise NotImplementedError


def repeat_rows(value: np.ndarray, n: int) -> np.ndarray:
    """One row per sample: TensorRT's mask inputs do not broadcast."""
    return np.ascontiguousarray(np.broadcast_to(value, (n, *value.shape[1:])))
