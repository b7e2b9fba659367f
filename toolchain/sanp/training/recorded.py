"""A training step that is recorded once and replayed: a CUDA graph starts its kernels without Python in between."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sanp.data.batch import Batch
from sanp_targets.errors import ConfigError

Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


def record_on_gpu(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record what `run` starts on the current stream, without running it: a function that runs it, and its result.

    The generator of the GPU is part of the graph: a replay draws what the step would have drawn after the same seed.
    Raises ConfigError if the step cannot be recorded, and PyTorch's own error if memory runs out.
    """
    graph, collects = torch.cuda.CUDAGraph(), gc.isenabled()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()  # a graph has memory of its own, and cannot take what earlier steps have left reserved
    gc.disable()  # a graph that is collected meanwhile would be destroyed on a stream that is being recorded
    try:
        graph.capture_begin()
        try:
            result = run()
        finally:
            graph.capture_end()
    except RuntimeError as error:
        if "out of memory" in str(error):
            raise
        raise ConfigError(
            f"the training step cannot be recorded as a CUDA graph ({str(error).splitlines()[0]}), expected one that "
            "copies no value to the host; set cuda_graph to false for this method"
        ) from error
    finally:
        if collects:
            gc.enable()
    return graph.replay, result


@dataclass
class RecordedStep:
    """Forward and backward pass on a batch of one shape; gradients appear in the same tensors after every call."""

    batch: Batch  # of this object: a call copies into it
    replay: Callable[[], None]
    result: Tensor
    gradients: list[tuple[nn.Parameter, Tensor | None]]

    @classmethod
    def of(
        cls, learn: Callable[[Batch], Tensor], batch: Batch, parameters: list[nn.Parameter], record: Record
    ) -> RecordedStep:
        """Record `learn` for batches like this one; parameters: what it leaves gradients in. Nothing is run."""
        modes = None if batch.modes is None else batch.modes.clone()
        own = Batch(batch.images.clone(), batch.labels.clone(), modes)
        for parameter in parameters:
            parameter.grad = None  # so that the recording writes gradients instead of adding to them
        replay, result = record(lambda: learn(own))
        return cls(own, replay, result, [(parameter, parameter.grad) for parameter in parameters])

    def fits(self, batch: Batch) -> bool:
        """Whether a batch has the recorded shape; the last one of an epoch may be smaller."""
        return batch.images.shape == self.batch.images.shape and batch.labels.shape == self.batch.labels.shape

    def __call__(self, batch: Batch) -> Tensor:
        """What `learn` would return, for a batch of the recorded shape."""
        self.batch.images.copy_(batch.images)
        self.batch.labels.copy_(batch.labels)
        if self.batch.modes is not None and batch.modes is not None:
            self.batch.modes.copy_(batch.modes)
        self.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return self.result
