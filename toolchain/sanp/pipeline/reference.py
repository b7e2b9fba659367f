"""PyTorch's answers: what every engine is compared with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sanp.gating import GatedConv, gated_layers
from sanp_export.spec import SpmGate
from sanp_runtime.bundle.reference import Reference


def pytorch_answers(model: nn.Module, images: np.ndarray, labels: np.ndarray, batch: int = 128) -> Reference:
    """Logits, scales and decision margins of a gated network for images float32 [N, C, H, W], on the CPU in float32.

    The margin of a channel is the signed distance of its saliency from the bound that it must exceed (the threshold,
    and for top-k gates the k+1-th largest): positive = open. Static gates decide nothing per sample and have no margin.
    """
    model = model.cpu().eval()
    layers = gated_layers(model)
    specs = {name: layer.gated_conv_spec().gate for name, layer in layers.items()}
    logits: list[Tensor] = []
    scales: dict[str, list[Tensor]] = {name: [] for name in layers}
    margins: dict[str, list[Tensor]] = {name: [] for name, gate in specs.items() if isinstance(gate, SpmGate)}
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            logits.append(model(torch.from_numpy(np.ascontiguousarray(images[start : start + batch]))))
            for name, layer in layers.items():
                scales[name].append(layer.scale)
                gate = specs[name]
                if isinstance(gate, SpmGate):
                    margins[name].append(_margin(layer, gate))
    return Reference(
        x=np.ascontiguousarray(images, dtype=np.float32),
        labels=np.ascontiguousarray(labels, dtype=np.int64),
        logits=torch.cat(logits).numpy(),
        scales={name: torch.cat(parts).numpy() for name, parts in scales.items()},
        saliency={name: torch.cat(parts).numpy() for name, parts in margins.items()},
    )


def _margin(layer: GatedConv, gate: SpmGate) -> Tensor:
    bound = torch.full_like(layer.u[:, :1], gate.threshold)
    if gate.k:
        bound = torch.maximum(bound, layer.saliency.topk(gate.k + 1, dim=1).values[:, -1:])
    return layer.u - bound
