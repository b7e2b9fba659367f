"""Stage of a second visit: gated and dense within few multiprocessors, where a layer fills the machine many times over.

A stand-in for the throughput of a multiprocessor. It is no edge board: clock, caches and memory are a server's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.backbones import RESNET18_WIDTHS, narrowed, resnet
from benchmarks.gpu.layer_case import cudnn
from benchmarks.gpu.layer_measure import How, measure
from benchmarks.gpu.network_reference import random_parameters
from benchmarks.gpu.place import Place
from benchmarks.gpu.stages import networks
from benchmarks.gpu.visit.record import Record
from benchmarks.networks.masks import keep_for_cost
from benchmarks.networks.shapes import OPERATING_POINTS, Layer

MULTIPROCESSORS = 16  # of the largest Orin
RESERVE_SECONDS = 12.0  # for the network


@dataclass(frozen=True)
class Sizes:
    """Layers, most telling first, at one batch size; and the network."""

    layers: tuple[Layer, ...]
    batch: int
    how: How
    network: networks.Sizes


FULL = Sizes(
    (Layer(128, 128, 28), Layer(256, 256, 14), Layer(64, 64, 56), Layer(512, 512, 7), Layer(128, 256, 28, 3, 2, 1),
     Layer(256, 256, 14, 1, 1, 0), Layer(64, 256, 56, 1, 1, 0), Layer(128, 256, 28, 1, 2, 0)),
    8, How({0.5: 9, 1.0: 3}, rounds=7, launches=10), networks.Sizes(224, RESNET18_WIDTHS, 2, 1000, (8,), 5, 2, 4),
)  # fmt: skip
SMALL = Sizes((Layer(16, 24, 6),), 2, How({0.5: 2, 1.0: 1}, rounds=1, launches=1), networks.SMALL)


def run(place: Place, record: Record) -> None:
    """Rows are written one by one; the throughput of a large product shows that the limit holds."""
    torch.manual_seed(0)
    sizes = place.pick(FULL, SMALL)
    product = torch.randn(place.pick(4096, 64), place.pick(4096, 64), device=place.device).to(torch.bfloat16)
    whole = place.race({"product": lambda: product @ product}, 3, 2)["product"]
    with place.few_multiprocessors(MULTIPROCESSORS) as count:
        few = place.race({"product": lambda: product @ product}, 3, 2)["product"]
        record.note(multiprocessors=count, product_us={"whole": whole, "few": few}, slower=few / whole)
        for layer in sizes.layers:
            if record.seconds_left() < RESERVE_SECONDS:
                break
            found = measure(place, layer, [], sizes.batch, "float16", sizes.how).as_json()
            record.append("layers", found)
            best = found["best_dense_us"]
            print(layer.name, f"dense {best:.1f}", found["gated_us"], flush=True)
        record.note(network=_network(place, sizes.network))


def _network(place: Place, sizes: networks.Sizes) -> dict[str, Any]:
    """ResNet-18 as in stage `networks`, one batch size."""
    rate, batch = OPERATING_POINTS["resnet18"], sizes.batches[0]
    network = resnet(sizes.image, sizes.widths, sizes.blocks)
    narrow, keep = narrowed(rate, sizes.image, sizes.widths, sizes.blocks), keep_for_cost(network, rate)
    images = torch.randn(networks.CALIBRATION_IMAGES, 3, sizes.image, sizes.image, device=place.device)
    with cudnn(benchmark=False, tf32=False):
        both = tuple(random_parameters(network, share, sizes.classes, images) for share in (keep, 1.0))
    return networks.one_batch(place, sizes, network, narrow, (both[0], both[1]), images[:batch], keep)
