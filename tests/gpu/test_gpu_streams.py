"""Launches as a runtime makes them: inside a CUDA graph whose gates change between replays, and on two streams."""

from __future__ import annotations

import ctypes
from ctypes import byref

import numpy as np
import torch

from benchmarks.gpu.cuda_library import FLOAT16, FLOAT32, ConvTensors, GateTensors, describe
from tests.native.cuda_cases import make_case
from tests.native.cuda_gate_cases import random_gate

SHAPES = (
    describe(128, 128, 14, type=FLOAT16, batch=2, scale_rows=2, active_rows=2),
    describe(512, 512, 7, type=FLOAT16),
    describe(64, 64, 28, type=FLOAT32),
)


class Launch:
    """Buffers that stay where they are, and the call that fills y."""

    def __init__(self, library, memory, case, plan):
        self.library, self.case, self.plan = library, case, plan
        arrays = case.arrays | {"y": np.full(case.expected.shape, np.nan, case.arrays["x"].dtype)}
        self.buffers = {name: memory.put(array) for name, array in arrays.items()}
        size = library.handle.sanp_cuda_conv_workspace(byref(case.conv), byref(plan))
        self.workspace = memory.put(np.full(size, 255, np.uint8))
        self.tensors = ConvTensors(**{name: b.pointer for name, b in self.buffers.items()})

    def __call__(self, stream):
        handle, workspace = self.library.handle, ctypes.c_void_p(self.workspace.pointer)
        arguments = (byref(self.case.conv), byref(self.plan), byref(self.tensors), workspace, ctypes.c_void_p(stream))
        self.library.require(handle.sanp_cuda_conv(*arguments))

    def load(self, case):
        """Other values in the same places."""
        for name, array in case.arrays.items():
            data = torch.from_numpy(np.ascontiguousarray(array).view(np.uint8).reshape(-1)).cuda()
            self.buffers[name].bytes[256:-256].copy_(data)
        torch.cuda.synchronize()


def test_one_graph_serves_every_mask(library, memory):
    """Captured once with all channels open, replayed with others: counts are read on the device only."""
    for conv in SHAPES:
        for plan in library.candidates(conv, library.device()):
            launch = Launch(library, memory, make_case(np.random.default_rng(0), conv, "all", "all"), plan)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=memory.torch_stream):
                launch(memory.torch_stream.cuda_stream)
            for seed, masks in enumerate((("half", "half"), ("none", "all"), ("one", "last"), ("all", "all"))):
                case = make_case(np.random.default_rng(seed), conv, *masks)
                launch.load(case)
                graph.replay()
                torch.cuda.synchronize()
                case.check(launch.buffers["y"].read(), f"replay with {masks}; {library.describe(plan)}")


def test_a_first_launch_can_be_captured(library, memory):
    """A gate and the convolution it feeds in one graph, nothing launched before."""
    gate = random_gate(np.random.default_rng(1), FLOAT16, batch=2, c_in=24, c_out=40, k=9)
    buffers = {name: memory.put(array) for name, array in gate.arrays.items()}
    results = {name: memory.put(np.full((2, 40), np.nan, np.float32)) for name in ("scale", "shift")}
    workspace = memory.put(np.full(library.handle.sanp_cuda_gate_workspace(byref(gate.gate)), 255, np.uint8))
    tensors = GateTensors(**{name: b.pointer for name, b in (buffers | results).items()})
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=memory.torch_stream):
        pointer = ctypes.c_void_p(workspace.pointer)
        library.require(library.handle.sanp_cuda_gate(byref(gate.gate), byref(tensors), pointer, memory.stream))
    graph.replay()
    torch.cuda.synchronize()
    for name, expected in zip(("scale", "shift"), gate.expected(), strict=True):
        np.testing.assert_array_equal(results[name].read(), expected)


def test_two_streams_at_once(library, memory):
    """Launches that overlap share nothing but the code."""
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    for conv in SHAPES:
        plan = library.plan(conv, library.device())
        cases = [make_case(np.random.default_rng(seed), conv) for seed in (1, 2)]
        launches = [Launch(library, memory, case, plan) for case in cases]
        torch.cuda.synchronize()
        for _ in range(20):
            for launch, stream in zip(launches, streams, strict=True):
                launch(stream.cuda_stream)
        torch.cuda.synchronize()
        for case, launch in zip(cases, launches, strict=True):
            case.check(launch.buffers["y"].read(), library.describe(plan))


def test_a_launch_does_not_wait(library, memory):
    """It returns while the stream is still busy with what came before."""
    conv = SHAPES[0]
    launch = Launch(library, memory, make_case(np.random.default_rng(0), conv), library.plan(conv, library.device()))
    launch(memory.torch_stream.cuda_stream)
    torch.cuda.synchronize()
    with torch.cuda.stream(memory.torch_stream):
        torch.cuda._sleep(200_000_000)
    launch(memory.torch_stream.cuda_stream)
    assert not memory.torch_stream.query(), "the launch waited for the stream"
    torch.cuda.synchronize()
