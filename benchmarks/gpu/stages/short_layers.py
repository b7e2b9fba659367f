"""Stage of a second visit: stage `layers` with the halves of the ResNets only, few plans of each."""

from __future__ import annotations

from benchmarks.gpu.layer_measure import How
from benchmarks.gpu.place import Place
from benchmarks.gpu.stages import layers
from benchmarks.gpu.visit.record import Record

SHORT = layers.Sizes(
    (("float16", 8, layers.RESNETS), ("float16", 1, layers.SMALL_RESNET), ("float16", 8, layers.MOBILE),
     ("float32", 8, layers.SMALL_RESNET)),
    How({layers.TUNED_KEEP: 12, 1.0: 3}, rounds=7, launches=10), {},
)  # fmt: skip


def run(place: Place, record: Record) -> None:
    """As `layers.run`."""
    layers.measure_all(place, record, place.pick(SHORT, layers.SMALL))
