"""A whole gated network through the C interface on the current stream: gates, convolutions, and the rest by PyTorch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.gpu.cuda_library import FLOAT16, HWIO, ConvTensors, Gate, GateTensors, Plan, describe
from benchmarks.gpu.network_reference import LayerParameters, NetworkParameters
from benchmarks.gpu.place import Place
from benchmarks.networks.shapes import MAX_POOL_3X3, Conv, Layer, Network

ChoosePlan = Callable[[Layer], int]  # the place of a layer's plan in the library's list


class GatedConvolution:
    """One gated layer in halves: buffers, plan, two calls. inputs: x, and which channels may be non-zero [N, Ci]."""

    def __init__(
        self, place: Place, node: Conv, own: LayerParameters, inputs: tuple[Tensor, Tensor], residual: Tensor | None,
        plan: int,
    ) -> None:  # fmt: skip
        (x, active), layer, batch, device = inputs, node.layer, len(inputs[0]), place.device
        self.place, self.x, self.active, self.has_residual = place, x, active, residual is not None
        limits = {} if node.relu else {"act_min": -torch.inf}
        self.conv = describe(
            layer.c_in, layer.c_out, layer.size, kernel=layer.kernel, stride=layer.stride, pad=layer.pad, batch=batch,
            type=FLOAT16, weight_order=HWIO, scale_rows=batch, shift_rows=batch, active_rows=batch,
            residual_dense=int(self.has_residual), **limits,
        )  # fmt: skip
        self.weight = own.weight.permute(2, 3, 1, 0).contiguous().half()
        self.residual = torch.zeros(1, device=device, dtype=torch.half) if residual is None else residual
        self.scale, self.shift = (torch.zeros(batch, layer.c_out, device=device) for _ in range(2))
        self.y = torch.zeros(batch, layer.c_out, layer.out, layer.out, device=device, dtype=torch.half)
        library = place.library
        self.plan: Plan = library.candidates(self.conv, place.kernel_device)[plan]
        self._conv_workspace = self._bytes(library.handle.sanp_cuda_conv_workspace(byref(self.conv), byref(self.plan)))
        parts = (self.x, self.weight, self.scale, self.shift, self.active, self.residual, self.y)
        self._conv_tensors = ConvTensors(*(part.data_ptr() for part in parts))
        self.gate = Gate(FLOAT16, batch, layer.c_in, layer.size, layer.size, len(own.gate[1]), layer.c_out, 1, 0, 0.0)
        self._kept = [part.contiguous() for part in (*own.gate, own.bias)]
        self._kept.append(torch.ones(1, layer.c_out, device=device))
        pointers = (part.data_ptr() for part in (self.x, *self._kept, self.scale, self.shift))
        self._gate_tensors = GateTensors(*pointers)
        self._gate_workspace = self._bytes(library.handle.sanp_cuda_gate_workspace(byref(self.gate)))

    def _bytes(self, size: int) -> Tensor:
        return torch.zeros(max(1, size), dtype=torch.uint8, device=self.place.device)

    def decide(self) -> None:
        """Launch the gate: fills scale and shift."""
        library, workspace = self.place.library, ctypes.c_void_p(self._gate_workspace.data_ptr())
        arguments = (byref(self.gate), byref(self._gate_tensors), workspace, self.place.stream())
        library.require(library.handle.sanp_cuda_gate(*arguments))

    def compute(self) -> None:
        """Launch the convolution: fills y."""
        library, workspace = self.place.library, ctypes.c_void_p(self._conv_workspace.data_ptr())
        arguments = (byref(self.conv), byref(self.plan), byref(self._conv_tensors), workspace, self.place.stream())
        library.require(library.handle.sanp_cuda_conv(*arguments))


class GatedNetwork:
    """All layers of a network for fixed images. Buffers stay in place, so that a CUDA graph can hold the calls."""

    def __init__(
        self, place: Place, network: Network, parameters: NetworkParameters, images: Tensor, plan: ChoosePlan
    ) -> None:
        assert parameters.head is not None
        self.network, self.images, self.head = network, images.half().contiguous(), parameters.head.half()
        self.layers: dict[str, GatedConvolution] = {}
        self._steps: list[Callable[[bool], None]] = []
        self.values = {"x": self.images}
        # A channel may be non-zero where its own gate is open or where what is added to it is.
        self.active = {"x": torch.ones(len(images), images.shape[1], device=images.device)}
        for name, node in network.nodes.items():
            if isinstance(node, Conv):
                self._add_conv(place, name, node, parameters.layers[name], plan(node.layer))
            else:
                self._add_pool(name, *node)

    def _add_conv(self, place: Place, name: str, node: Conv, own: LayerParameters, plan: int) -> None:
        residual = self.values[node.residual] if node.residual else None
        inputs = self.values[node.source], self.active[node.source]
        layer = GatedConvolution(place, node, own, inputs, residual, plan)
        self.layers[name], self.values[name], self.active[name] = layer, layer.y, layer.scale
        union = torch.empty_like(layer.scale)
        if node.residual:
            self.active[name] = union

        def step(gates: bool) -> None:
            if gates:
                layer.decide()
                if node.residual:
                    torch.maximum(layer.scale, self.active[node.residual], out=union)
            layer.compute()

        self._steps.append(step)

    def _add_pool(self, name: str, kind: str, source: str) -> None:
        x = self.values[source]
        shape = F.max_pool2d(x, 3, 2, 1).shape if kind == MAX_POOL_3X3 else (*x.shape[:2], 1, 1)
        y = torch.zeros(shape, device=x.device, dtype=x.dtype)
        self.values[name], self.active[name] = y, self.active[source]

        def step(gates: bool) -> None:
            y.copy_(F.max_pool2d(x, 3, 2, 1) if kind == MAX_POOL_3X3 else x.mean((2, 3), keepdim=True))

        self._steps.append(step)

    def run(self, gates: bool = True) -> Tensor:
        """Logits, half. gates=False leaves out every gate and computes with the masks of the call before."""
        for step in self._steps:
            step(gates)
        last = next(reversed(self.values.values()))
        return last.flatten(1) @ self.head.T

    def cost(self) -> float:
        """Multiply-adds that the masks of the last call leave, over the dense ones, without gates."""
        kept = 0.0
        for name, node in self.network.nodes.items():
            if isinstance(node, Conv):
                rows, columns = self.layers[name].scale, self.active[node.source]
                share = (rows != 0).double().mean(1) * (columns != 0).double().mean(1)
                kept += node.layer.macs * float(share.mean())
        return kept / self.network.macs
