"""The network with all channels in PyTorch, in the forms among which the fastest is the baseline."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.gpu.layer_case import cudnn
from benchmarks.gpu.place import Place
from benchmarks.networks.shapes import MAX_POOL_3X3, Conv, Network

FORMS = ("NCHW", "channels_last", "fused channels_last")


class DenseNetwork:
    """Random weights of the usual size, batch norm folded into weight and bias, halves, one of `FORMS`."""

    def __init__(self, place: Place, network: Network, classes: int, images: Tensor, form: str) -> None:
        self.place, self.network, self.form = place, network, form
        last = torch.channels_last if form != "NCHW" else torch.contiguous_format
        self.images = images.half().contiguous(memory_format=last)
        self.layers: dict[str, tuple[Tensor, Tensor]] = {}
        for name, conv in network.convs.items():
            layer = conv.layer
            w = torch.randn(layer.c_out, layer.c_in, layer.kernel, layer.kernel, device=images.device)
            w *= (1.0 / (layer.c_in * layer.kernel**2)) ** 0.5
            bias = 0.1 * torch.randn(layer.c_out, device=images.device)
            self.layers[name] = w.half().contiguous(memory_format=last), bias.half()
        features = list(network.convs.values())[-1].layer.c_out
        self.head = (torch.randn(classes, features, device=images.device) / features**0.5).half()

    def run(self) -> Tensor:
        """Logits; cuDNN tries its algorithms in the first call."""
        values = {"x": self.images}
        with torch.no_grad(), cudnn(benchmark=True, tf32=False):
            for name, node in self.network.nodes.items():
                if isinstance(node, Conv):
                    values[name] = self._conv(name, node, values)
                elif node[0] == MAX_POOL_3X3:
                    values[name] = F.max_pool2d(values[node[1]], 3, 2, 1)
                else:
                    values[name] = values[node[1]].mean((2, 3), keepdim=True)
            return values[name].flatten(1) @ self.head.T

    def _conv(self, name: str, node: Conv, values: dict[str, Tensor]) -> Tensor:
        (w, bias), x = self.layers[name], values[node.source]
        residual = values[node.residual] if node.residual else None
        geometry = ((node.layer.stride,) * 2, (node.layer.pad,) * 2, (1, 1), 1)
        if self.form.startswith("fused") and node.relu:
            return self.place.conv_relu(x, w, bias, residual, geometry)
        y = F.conv2d(x, w, bias, *geometry)
        y = y if residual is None else y.add_(residual)
        return y.relu_() if node.relu else y


def forms(place: Place, network: Network, classes: int, images: Tensor) -> dict[str, Callable[[], Tensor]]:
    """A call for each form that the dense library takes; RuntimeError if an answer is not finite."""
    found: dict[str, Callable[[], Tensor]] = {}
    for form in FORMS:
        one = DenseNetwork(place, network, classes, images, form)
        try:
            logits = one.run()
        except RuntimeError as error:
            print(f"{form} is left out: {error}", flush=True)
            continue
        if not bool(logits.isfinite().all()):
            raise RuntimeError(f"the dense network in form {form} gave logits that are not finite")
        found[form] = one.run
    return found
