"""A bundle, and the PyTorch network of a checkpoint, as runners of Polygraphy: one input, outputs and gates by name."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from polygraphy.backend.base import BaseRunner
from polygraphy.common import TensorMetadata
from polygraphy.datatype import DataType

from sanp_runtime.contract import INPUT, gate_output
from sanp_runtime.engines.load import load


class BundleRunner(BaseRunner):
    """Runs a variant of a bundle, by default the network as trained; every gated layer must run in our kernels.

    Polygraphy activates it, asks for its input (float32 [N, C, H, W]), and calls `infer` with {"input": x}. It answers
    with the outputs of the network by name, and `gate.<layer>` [N, Co] of every gated layer.
    """

    def __init__(self, bundle: str, variant: str | None = None, threads: int = 1, name: str | None = None) -> None:
        super().__init__(name=name, prefix="sanp-bundle")
        self._bundle, self._variant, self._threads = bundle, variant, threads
        self._engine: Any = None

    def activate_impl(self) -> None:
        """Load it."""
        self._engine = load(self._bundle, variant=self._variant, threads=self._threads)
        if self._engine.gated:
            self._engine.proof().require()

    def get_input_metadata_impl(self) -> Any:
        """Name, type and shape of the input."""
        return _metadata(self._engine.manifest.input["shape"])

    def infer_impl(self, feed_dict: Mapping[str, Any]) -> OrderedDict[str, np.ndarray]:
        """Outputs and gates by name; feed_dict: {"input": float32 [N, C, H, W]}."""
        start = time.perf_counter()
        result = self._engine(np.asarray(feed_dict[INPUT]))
        self.inference_time = time.perf_counter() - start
        return _named(result.outputs, result.gates)

    def deactivate_impl(self) -> None:
        """Give it back."""
        self._engine.close()
        self._engine = None


class TorchRunner(BaseRunner):
    """Runs the network of a checkpoint in PyTorch, float32 on the CPU; input and answers as of `BundleRunner`."""

    def __init__(self, checkpoint: str, name: str | None = None) -> None:
        super().__init__(name=name, prefix="sanp-torch")
        self._checkpoint = checkpoint
        self._loaded: Any = None

    def activate_impl(self) -> None:
        """Load it."""
        from sanp import checkpoint

        self._loaded = checkpoint.load(self._checkpoint)

    def get_input_metadata_impl(self) -> Any:
        """Name, type and shape of the input."""
        return _metadata(self._loaded.example_input.shape[1:])

    def infer_impl(self, feed_dict: Mapping[str, Any]) -> OrderedDict[str, np.ndarray]:
        """Outputs and gates by name; feed_dict: {"input": float32 [N, C, H, W]}."""
        from sanp.pipeline.reference import pytorch_answers

        start = time.perf_counter()
        answers = pytorch_answers(self._loaded.model, np.asarray(feed_dict[INPUT]), None)
        self.inference_time = time.perf_counter() - start
        return _named(answers.outputs, answers.scales)

    def deactivate_impl(self) -> None:
        """Give it back."""
        self._loaded = None


def _metadata(shape: Sequence[int]) -> Any:
    """One float32 input of any number of samples; shape: [C, H, W]."""
    return TensorMetadata().add(INPUT, dtype=DataType.FLOAT32, shape=("N", *shape))


def _named(outputs: Mapping[str, np.ndarray], gates: Mapping[str, np.ndarray]) -> OrderedDict[str, np.ndarray]:
    return OrderedDict([*outputs.items(), *((gate_output(name), scale) for name, scale in gates.items())])
