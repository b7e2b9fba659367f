"""PyTorch's answers: what every engine is compared with, and therefore finite."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from sanp.cost.pixels import pixel_layers
from sanp.gating import GatedConv, gated_layers
from sanp.gating.policy import Decision, GatePolicy
from sanp_export.named_outputs import check_outputs, named_outputs
from sanp_export.open_size import not_taken, resized
from sanp_export.spec import SpmGate
from sanp_runtime.bundle.reference import Reference
from sanp_runtime.network.outputs import join, rows_of
from sanp_runtime.network.sizes import Size
from sanp_targets.errors import ConfigError, InputError, SanpError

_IN_DOUBLE = 16  # samples that double precision answers too: enough to see a network that amplifies rounding
_SAMPLES_OF_A_SIZE = 4  # the answers of PyTorch to them tell a wrong kernel; accuracy is a matter of the other samples


def pytorch_answers(model: nn.Module, images: np.ndarray, labels: np.ndarray | None, batch: int = 128) -> Reference:
    """Outputs, scales and decision margins of a gated network for images float32 [N, C, H, W], on the CPU in float32.

    labels: what is true of the images, numbers [N, ...], classes as integers [N]; None if nobody knows.

    A network that decides for every pixel also answers in double precision (`Reference.exact`).
    The margin of a channel is the signed distance of its saliency from the bound that it must exceed (the threshold,
    and for top-k gates the k+1-th largest): positive = open. Static gates decide nothing per sample and have no margin.
    Raises InputError naming the first layer with a gate that is not finite, or the first output that is not.
    """
    model = model.cpu().eval()
    layers = gated_layers(model)
    specs = {name: layer.gated_conv_spec().gate for name, layer in layers.items()}
    outputs: list[dict[str, np.ndarray]] = []
    scales: dict[str, list[Tensor]] = {name: [] for name in layers}
    margins: dict[str, list[Tensor]] = {name: [] for name, gate in specs.items() if isinstance(gate, SpmGate)}
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            part = torch.from_numpy(np.ascontiguousarray(images[start : start + batch]))
            answer = named_outputs(model(part))
            check_outputs(answer, len(part), type(model).__name__)
            outputs.append({name: value.numpy() for name, value in answer.items()})
            for name, layer in layers.items():
                scales[name].append(layer.scale)
                gate = specs[name]
                if isinstance(gate, SpmGate):
                    margins[name].append(_margin(layer, gate))
    exact = _exact(model, images, batch) if pixel_layers(model) else None
    answers = Reference(
        x=np.ascontiguousarray(images, dtype=np.float32),
        labels=None if labels is None else _checked_labels(labels, len(images)),
        outputs=join(outputs),
        scales={name: torch.cat(parts).numpy() for name, parts in scales.items()},
        saliency={name: torch.cat(parts).numpy() for name, parts in margins.items()},
        exact=exact,
        own_error=0.0 if exact is not None else _own_error(model, images[:_IN_DOUBLE]),
    )
    _check_finite(answers)
    return answers


def with_sizes(answers: Reference, model: nn.Module, sizes: Sequence[Size]) -> Reference:
    """The answers, and those to the first samples in every other size, resized by bilinear interpolation.

    Raises ExportError for a size that the network does not take, and what `pytorch_answers` raises.
    """
    few, others = answers.x[:_SAMPLES_OF_A_SIZE], {}
    for size in sizes:
        images = resized(torch.from_numpy(few), size).numpy()
        if images.shape != few.shape:
            try:
                others[size] = pytorch_answers(model, images, None)
            except SanpError:
                raise
            except Exception as error:  # networks check their sizes with errors of every type
                own = (few.shape[2], few.shape[3])
                raise not_taken(type(model).__name__, own, size, error) from error
    return replace(answers, sizes=others)


def _checked_labels(labels: np.ndarray, count: int) -> np.ndarray:
    """Integers as int64, other numbers as they are; ConfigError unless there is a row for each image."""
    found = np.asarray(labels)
    if found.ndim < 1 or len(found) != count or found.dtype.kind not in "biuf" or not np.isfinite(found).all():
        raise ConfigError(
            f"labels are {found.dtype} {list(found.shape)}, expected finite numbers for each of {count} images, "
            "classes as integers [N]; correct them, or leave them out"
        )
    return np.ascontiguousarray(found, dtype=np.int64 if found.dtype.kind in "iu" else found.dtype)


def _exact(model: nn.Module, images: np.ndarray, batch: int) -> dict[str, np.ndarray]:
    """Outputs in double precision."""
    double = copy.deepcopy(model).double()
    parts = [images[start : start + batch] for start in range(0, len(images), batch)]
    with torch.inference_mode():
        answers = [named_outputs(double(torch.from_numpy(part.astype(np.float64)))) for part in parts]
    return join([{name: value.numpy() for name, value in answer.items()} for answer in answers])


@torch.inference_mode()
def _own_error(model: nn.Module, images: np.ndarray) -> float:
    """Largest distance of the outputs from double precision with the same decisions, relative; 0 if double fails."""
    single = named_outputs(model(torch.from_numpy(np.ascontiguousarray(images))))
    double = copy.deepcopy(model).double()
    for name, layer in gated_layers(model).items():
        if isinstance(layer, GatedConv):
            gated_layers(double)[name].gate = _Decided(layer.scale)
    try:
        exact = named_outputs(double(torch.from_numpy(images.astype(np.float64))))
    except Exception:  # a forward pass of its own that insists on float32, in errors of every type
        return 0.0
    return max(_relative(single[name], value) for name, value in exact.items())


class _Decided(GatePolicy):
    """A gate that says what another one has said."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Decision:
        """Any x -> the decision."""
        return Decision(self.scale, self.scale, (self.scale > 0).float())


def _relative(found: Tensor, exact: Tensor) -> float:
    rows, right = rows_of(found.double().numpy()), rows_of(exact.numpy())
    largest = np.maximum(np.abs(right).max(axis=1), np.finfo(np.float32).tiny)
    distance = float((np.abs(rows - right).max(axis=1) / largest).max())
    return distance if np.isfinite(distance) else 0.0


def _check_finite(answers: Reference) -> None:
    """Layers in their order first: a gate that is not finite is the cause of what follows it."""
    found = [(f"the gate of layer {name!r}", value) for name, value in _gates(answers)]
    found += [(f"the output {name} of the network", value) for name, value in answers.outputs.items()]
    for what, value in found:
        bad = np.flatnonzero(~np.isfinite(rows_of(value)).all(axis=1))
        if bad.size:
            raise InputError(
                f"{what} is NaN or infinite for {bad.size} of {len(value)} samples (first is sample {bad[0]}), "
                "expected finite answers to compare an engine with; train the network again with a smaller learning "
                "rate, or check that the images are finite and normalised"
            )


def _gates(answers: Reference) -> list[tuple[str, np.ndarray]]:
    """Scales and margins, layer by layer."""
    tables = (answers.scales, answers.saliency)
    return [(name, table[name]) for name in answers.scales for table in tables if name in table]


def _margin(layer: GatedConv, gate: SpmGate) -> Tensor:
    bound = torch.full_like(layer.u[:, :1], gate.threshold)
    if gate.k:
        bound = torch.maximum(bound, layer.saliency.topk(gate.k + 1, dim=1).values[:, -1:])
    return layer.u - bound
