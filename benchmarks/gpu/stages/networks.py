"""Stage 3: whole networks. Gated with its gates in one CUDA graph, against the dense and the narrowed one as graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.backbones import RESNET18_WIDTHS, narrowed, resnet
from benchmarks.gpu.dense_network import forms
from benchmarks.gpu.gated_network import GatedNetwork
from benchmarks.gpu.layer_case import GatedLayer, cudnn
from benchmarks.gpu.layer_measure import spread_plans
from benchmarks.gpu.network_reference import NetworkParameters, random_parameters, tolerance
from benchmarks.gpu.place import Place
from benchmarks.gpu.visit.record import Record
from benchmarks.networks.masks import keep_for_cost
from benchmarks.networks.shapes import OPERATING_POINTS, Layer, Network

GATED, WITHOUT_GATES, TIMED_PLANS, OPEN = "gated", "gated, gates left out", "gated, timed plans", "gated, all open"
DENSE, NARROW = "dense ", "narrowed "
CALIBRATION_IMAGES = 32
LEAST_SECONDS = 8.0  # with less left no further batch is begun


@dataclass(frozen=True)
class Sizes:
    """The network, the batches, and how thoroughly it is timed. plans: timed for each layer of the tuned variant."""

    image: int
    widths: tuple[int, ...]
    blocks: int
    classes: int
    batches: tuple[int, ...]
    rounds: int
    launches: int
    plans: int


FULL = Sizes(224, RESNET18_WIDTHS, 2, 1000, (8, 1, 32), 15, 4, 10)
SMALL = Sizes(24, (8, 16), 1, 10, (2,), 1, 1, 3)


def run(place: Place, record: Record) -> None:
    """Logits are checked against PyTorch in double precision before anything is timed.

    A batch that fails is written down; the others are measured; RuntimeError at the end if there was one.
    """
    torch.manual_seed(0)
    sizes, rate = place.pick(FULL, SMALL), OPERATING_POINTS["resnet18"]
    network = resnet(sizes.image, sizes.widths, sizes.blocks)
    narrow = narrowed(rate, sizes.image, sizes.widths, sizes.blocks)
    keep = keep_for_cost(network, rate)
    record.note(image=sizes.image, macs=network.macs, rate=rate, keep=keep, narrowed_cost=narrow.macs / network.macs)
    images = torch.randn(max(*sizes.batches, CALIBRATION_IMAGES), 3, sizes.image, sizes.image, device=place.device)
    with cudnn(benchmark=False, tf32=False):
        gated = random_parameters(network, keep, sizes.classes, images[:CALIBRATION_IMAGES])
        opened = random_parameters(network, 1.0, sizes.classes, images[:CALIBRATION_IMAGES])
    for batch in sizes.batches:
        if record.seconds_left() < LEAST_SECONDS:
            record.note(left_out=f"batch {batch} and what follows it: no time")
            break
        try:
            row = one_batch(place, sizes, network, narrow, (gated, opened), images[:batch], keep)
        except RuntimeError as error:
            record.append("failed", {"batch": batch, "said": str(error)[:1000]})
            continue
        record.append("batches", row)
        print(row, flush=True)
    failed = record.numbers.get("failed", [])
    if failed:
        raise RuntimeError(f"batch {failed[0]['batch']} failed: {failed[0]['said']}")


def one_batch(
    place: Place, sizes: Sizes, network: Network, narrow: Network, both: tuple[NetworkParameters, NetworkParameters],
    images: Tensor, keep: float,
) -> dict[str, Any]:  # fmt: skip
    """Everything at one batch size, the number of `images`: checked, timed, compared."""
    gated, opened = both
    timed = _timed_plans(place, sizes, network, len(images), keep)
    row: dict[str, Any] = {"batch": len(images), "plans": {layer.name: index for layer, index in timed.items()}}
    networks = {
        GATED: GatedNetwork(place, network, gated, images, lambda layer: 0),
        TIMED_PLANS: GatedNetwork(place, network, gated, images, timed.__getitem__),
        OPEN: GatedNetwork(place, network, opened, images, lambda layer: 0),
    }
    row["checks"] = {name: _check(network, opened if name == OPEN else gated, one, images, name)
                     for name, one in networks.items()}  # fmt: skip
    row["cost"] = networks[GATED].cost()
    runs: dict[str, Callable[[], object]] = {name: one.run for name, one in networks.items()}
    runs[WITHOUT_GATES] = lambda: networks[GATED].run(gates=False)
    runs |= {DENSE + form: call for form, call in forms(place, network, sizes.classes, images).items()}
    runs |= {NARROW + form: call for form, call in forms(place, narrow, sizes.classes, images).items()}
    row["us"] = times = place.race(runs, sizes.rounds, sizes.launches)
    dense, thin = (min(t for name, t in times.items() if name.startswith(kind)) for kind in (DENSE, NARROW))
    best = min(times[GATED], times[TIMED_PLANS])
    row |= {"dense_us": dense, "narrowed_us": thin, "gated_us": best}
    row |= {"speedup": dense / best, "over_narrowed": thin / best}
    return row


def _timed_plans(place: Place, sizes: Sizes, network: Network, batch: int, keep: float) -> dict[Layer, int]:
    """The fastest of a few plans for each shape, timed alone at the mean density."""
    found = {}
    for layer in dict.fromkeys(conv.layer for conv in network.convs.values()):
        problem = GatedLayer(place, layer, batch, "float16", keep)
        plans = spread_plans(problem.plans(), sizes.plans)
        times = place.race({str(index): problem.gated(plan) for index, plan in plans.items()}, 5, 10)
        found[layer] = int(min(times, key=lambda index: times[index]))
    return found


def _check(
    network: Network, parameters: NetworkParameters, one: GatedNetwork, images: Tensor, name: str
) -> dict[str, float]:
    """Error and limit; RuntimeError if the logits are further from the double ones than rounding to halves explains."""
    with cudnn(benchmark=False, tf32=False):
        exact, limit = tolerance(network, parameters, images.half().float(), torch.half)
    error = float((one.run().double() - exact).abs().max())
    if not error <= limit:
        raise RuntimeError(f"{name}: logits are off by {error:.3g}, rounding to halves explains {limit:.3g}")
    return {"error": error, "limit": limit, "size": float(exact.abs().max())}
