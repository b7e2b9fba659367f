"""A gated network as a list of layers: parameters fitted to a density, and its logits by PyTorch in any precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.networks.shapes import MAX_POOL_3X3, Conv, Network

REDUCTION, LEAST_HIDDEN = 16, 4  # of the toolchain's gates
Store = Callable[[Tensor], Tensor]


@dataclass
class LayerParameters:
    """A convolution with batch norm folded in, [Co, Ci, kh, kw] and [Co], and its gate: w1, b1, w2, b2. float32."""

    weight: Tensor
    bias: Tensor
    gate: tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass
class NetworkParameters:
    """The layers by name, and the classifier [classes, C]."""

    layers: dict[str, LayerParameters] = field(default_factory=dict)
    head: Tensor | None = None


def saliency(gate: tuple[Tensor, ...], x: Tensor) -> Tensor:
    """relu(w2 relu(w1 mean(x) + b1) + b2), [N, Co]: the factor of each channel, 0 = closed."""
    w1, b1, w2, b2 = (part.to(x.dtype) for part in gate)
    return F.relu(F.linear(F.relu(F.linear(x.mean((2, 3)), w1, b1)), w2, b2))


def convolved(node: Conv, weight: Tensor, x: Tensor) -> Tensor:
    """The plain convolution of a layer."""
    return F.conv2d(x, weight.to(x.dtype), None, node.layer.stride, node.layer.pad)


def random_parameters(network: Network, keep: float, classes: int, images: Tensor) -> NetworkParameters:
    """Random weights whose maps have about unit size, and gates that open each channel for a share `keep` of images.

    Everything is set layer by layer from what these images produce. Weights are numbers that a half holds exactly, so
    that all precisions compute the same network.
    """
    found, values = NetworkParameters(), {"x": images}
    with torch.no_grad():
        for name, node in network.nodes.items():
            if isinstance(node, Conv):
                found.layers[name] = _random_layer(node, keep, values[node.source])
            values[name] = _node(network, found, name, values)
        features = values[name].flatten(1)
        head = torch.randn(classes, features.shape[1], device=images.device)
        found.head = _half(head / features.square().mean().sqrt() / features.shape[1] ** 0.5)
    return found


def _random_layer(node: Conv, keep: float, x: Tensor) -> LayerParameters:
    layer, device = node.layer, x.device
    w = torch.randn(layer.c_out, layer.c_in, layer.kernel, layer.kernel, device=device)
    weight = _half(w / convolved(node, w, x).square().mean().sqrt().clamp(min=1e-3))
    bias = _half(0.1 * torch.randn(layer.c_out, device=device))
    hidden = max(LEAST_HIDDEN, layer.c_in // REDUCTION)
    z = x.mean((2, 3))
    w1 = torch.randn(hidden, layer.c_in, device=device) / z.std(0).mean().clamp(min=1e-3) / layer.c_in**0.5
    b1 = 1.0 - w1 @ z.mean(0)
    h = F.relu(F.linear(z, w1, b1))
    # Hidden units only close channels, so that b2 bounds every scale. With both signs one image of 32 whose maps are a
    # little larger was scaled up in every layer, to logits of 1e24.
    w2 = -torch.randn(layer.c_out, hidden, device=device).abs()
    u = F.linear(h, w2)
    w2 = w2 / u.std(0).clamp(min=1e-3)[:, None]
    u = F.linear(h, w2)
    # Per channel, so that every channel is open for some images and closed for others.
    b2 = -torch.quantile(u, 1 - keep, dim=0) if keep < 1 else 1 - u.amin(0)
    return LayerParameters(weight, bias, (w1, b1, w2, b2))


def reference_logits(network: Network, parameters: NetworkParameters, images: Tensor, store: Store) -> Tensor:
    """Logits in the type of `images`; `store` is applied to every map that a device would write to memory."""
    values = {"x": store(images)}
    with torch.no_grad():
        for name in network.nodes:
            values[name] = store(_node(network, parameters, name, values))
        assert parameters.head is not None
        return values[name].flatten(1) @ parameters.head.to(images.dtype).T


def _node(network: Network, parameters: NetworkParameters, name: str, values: dict[str, Tensor]) -> Tensor:
    node = network.nodes[name]
    if not isinstance(node, Conv):
        kind, source = node
        return (
            F.max_pool2d(values[source], 3, 2, 1) if kind == MAX_POOL_3X3 else values[source].mean((2, 3), keepdim=True)
        )
    own, x = parameters.layers[name], values[node.source]
    scale = saliency(own.gate, x)[:, :, None, None]
    y = scale * convolved(node, own.weight, x) + scale * own.bias.to(x.dtype)[:, None, None]
    y = y + values[node.residual] if node.residual else y
    return F.relu(y) if node.relu else y


def tolerance(
    network: Network, parameters: NetworkParameters, images: Tensor, dtype: torch.dtype
) -> tuple[Tensor, float]:
    """Logits in double precision, and how far a device that stores maps in `dtype` may be from them.

    The limit is three times the largest error that the rounding of the stored maps alone makes in PyTorch: the device
    rounds the same values at other places, and its error is another draw of the same size.
    """
    exact = reference_logits(network, parameters, images.double(), lambda t: t)
    rounded = reference_logits(network, parameters, images.double(), lambda t: t.to(dtype).double())
    size = float(exact.abs().max())
    limit = 3 * float((rounded - exact).abs().max()) + size * torch.finfo(dtype).eps
    if not math.isfinite(limit) or limit > 0.5 * size:
        raise RuntimeError(f"rounding to {dtype} moves logits of size {size:.3g} by {limit / 3:.3g}: no check is left")
    return exact, limit


def _half(t: Tensor) -> Tensor:
    return t.half().float()
