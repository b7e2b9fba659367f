"""One network through gate, export, compile and comparison; what comes out is a row of the table."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sanp
from sanp.cost.tracker import CostTracker
from sanp.gating import GatingReport, gated_layers
from sanp.gating.attach import SkippedLayer
from sanp_export.named_outputs import named_outputs
from sanp_runtime import load
from sanp_runtime.bundle.reader import open_bundle
from sanp_runtime.engines.options import EngineOptions
from sanp_runtime.network.macs import dense_macs, sample_macs
from sanp_runtime.validate import self_test
from sanp_targets.errors import ConfigError, SanpError

SAMPLES, OPEN, VARYING = 4, 0.6, 0.1
NOTHING = "has no layer to gate"
RIGHT, WRONG, REFUSED, CRASHED = "right", "wrong", "refused", "crashed"


def row_of(network: nn.Module, size: int) -> dict[str, Any]:
    """The row of a network that takes images [N, 3, size, size]; errors become rows too.

    `result` is right, wrong (with `why`), refused (a sentence of ours) or crashed (anything else).
    """
    torch.manual_seed(0)
    started = time.perf_counter()
    row: dict[str, Any] = {"size": size}
    try:
        row.update(_journey(network, size))
    except SanpError as error:
        row.update(result=REFUSED, why=str(error))
    except Exception as error:  # whatever it is, it is a row, and the next network has its turn
        row.update(result=CRASHED, why=f"{type(error).__name__}: {error}"[:500])
    return {**row, "seconds": round(time.perf_counter() - started, 1)}


def _journey(network: nn.Module, size: int) -> dict[str, Any]:
    images = torch.randn(SAMPLES, 3, size, size) + torch.linspace(-1, 1, SAMPLES)[:, None, None, None]
    settle(network, images)
    gated, report = _gated(network, images[:1])
    tracked = CostTracker(gated, images[:1]).layers
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exported = sanp.export(gated, folder / "net.onnx", example_input=images[:1], images=images.numpy())
        sanp.compile(folder / "net.onnx", folder / "net.sanp")
        row = {
            **_shares(report, exported.layers),
            "macs_tracker": dense_macs(tracked),
            "macs_graph": dense_macs(exported.layers),
            **_compared(folder / "net.sanp", gated, images),
        }
    masks = {key: layer.scale.detach().numpy() for key, layer in gated_layers(gated).items()}
    row["gated_macs_tracker"] = float(sample_macs(tracked, masks).mean()) if masks else float(row["macs_tracker"])
    equal = row["macs_tracker"] == row["macs_graph"]
    equal &= abs(row["gated_macs_tracker"] - row["gated_macs_graph"]) < 0.5 or row["flips"] > 0
    if not equal and row["result"] == RIGHT:
        row.update(result=WRONG, why="tracker and graph count different MACs")
    return row


def _gated(network: nn.Module, example: Tensor) -> tuple[nn.Module, GatingReport]:
    """The network with random gates; as it is, if it has no layer that could have one."""
    try:
        gated = sanp.gate(network, example)
    except ConfigError as error:
        if NOTHING not in str(error):
            raise
        reason = SkippedLayer("", "nothing: " + str(error).split(NOTHING)[1].split("), expected")[0].strip(" ("))
        return network, GatingReport("none", skipped=(reason,))
    random_gates(gated)
    report = gated.eval().gating
    assert isinstance(report, GatingReport)
    return gated, report


def settle(network: nn.Module, images: Tensor) -> None:
    """Batch norms with random weights and the statistics of a batch, so that random networks neither vanish nor "
    "explode."""
    network.eval()
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    kept = {norm: norm.momentum for norm in norms}
    with torch.no_grad():
        for norm in norms:
            if norm.affine:
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.normal_(0, 0.1)
            norm.momentum = 1.0
            norm.train()
        if norms:
            network(torch.cat([images, images.flip(3)]))
        for norm, momentum in kept.items():
            norm.momentum = momentum
            assert norm.running_var is not None
            norm.running_var.clamp_(min=1e-3)
    network.eval()


def random_gates(gated: nn.Module, share: float = OPEN) -> None:
    """Gates that open about this share of the channels, with scales near 1 that differ a little between samples.

    A tenth of the channels are open for some samples and closed for others.
    """
    with torch.no_grad():
        for layer in gated_layers(gated).values():
            *_, last = [item for item in layer.gate.modules() if isinstance(item, nn.Linear)]
            last.weight.normal_(0, 0.1 / max(last.in_features, 1) ** 0.5)
            is_open = torch.rand_like(last.bias) < share
            last.bias.copy_(torch.where(is_open, 1.0, -1.0) + 0.1 * torch.randn_like(last.bias))
            varies = torch.rand_like(last.bias) < VARYING
            last.bias[varies] = 0
            last.weight[varies] *= 5


def _shares(report: GatingReport, layers: Any) -> dict[str, Any]:
    whole = dense_macs(layers)
    masked = sum(dense_macs([layer]) for layer in layers if layer.masked)
    return {
        "gated": len(report.gated),
        "followers": len(report.followers),
        "skipped": dict(Counter(row.reason for row in report.skipped)),
        "gated_share": masked / whole,
    }


def _compared(path: Path, gated: nn.Module, images: Tensor) -> dict[str, Any]:
    """Our kernels and plain ONNX Runtime beside PyTorch: all levels, and the largest error in relation to an output."""
    bundle, failed, errors, flips = open_bundle(path), [], {}, 0
    with torch.no_grad():
        expected = {name: value.numpy() for name, value in named_outputs(gated(images)).items()}
    for name, options in (("kernels", EngineOptions()), ("plain", EngineOptions(library=None))):
        result = self_test(bundle, options)
        failed += [f"{name}: {line}" for line in result.lines() if "FAIL" in line]
        flips += len(result.gates.flips) if result.gates is not None else 0
        errors[name] = _error(bundle, options, expected, images)
    with load(path) as engine:
        macs = engine(images.numpy()).macs
    return {
        "result": WRONG if failed else RIGHT,
        **({"why": "; ".join(failed)} if failed else {}),
        "error_kernels": errors["kernels"],
        "error_plain": errors["plain"],
        "flips": flips,
        "gated_macs_graph": float(macs.mean()),
    }


def _error(bundle: Any, options: EngineOptions, expected: Mapping[str, np.ndarray], images: Tensor) -> float:
    """Largest error over the largest value of its output, with PyTorch's own decisions where there are any."""
    from sanp_runtime.contract import REPLAY
    from sanp_runtime.engines.load import load_bundle

    variant = REPLAY if bundle.manifest.gated else None
    reference = bundle.reference()
    with load_bundle(bundle, variant, options) as engine:
        found = engine(images.numpy(), reference.scales if bundle.manifest.gated else None)
    return max(float(np.abs(found[name] - value).max() / np.abs(value).max()) for name, value in expected.items())
