"""The result of a profile, typed, and its JSON, which the report and other tools read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from sanp_runtime.engines.proof import Proof
from sanp_runtime.measure.stalls import Stalls
from sanp_runtime.measure.stats import stats
from sanp_runtime.measure.timing import Measurement, WarmUp
from sanp_runtime.measure.verdict import Validity
from sanp_runtime.network.gate_balance import GateBalance
from sanp_runtime.network.sizes import Size
from sanp_runtime.profile.budgets import BudgetRow
from sanp_runtime.profile.costs import Macs, Ratios, SampleRow
from sanp_runtime.profile.gap import Gap
from sanp_runtime.profile.layer_rows import LayerRow, NodeTimes
from sanp_targets.controls import Held
from sanp_targets.sensors import Reading

SCHEMA_VERSION = 4


@dataclass(frozen=True)
class VariantTimes:
    """latency: the block of `stats`, raw values included; typical_ms, spread_ms: see `Measurement`."""

    latency: Mapping[str, Any]
    typical_ms: float
    spread_ms: Mapping[str, float]
    warm_up: WarmUp

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class RunSettings:
    """How it was measured: threads and samples per call, seconds, number of samples and whose they are.

    cpus: the processors that the process was pinned to, None if it was not. budget: that the network ran at, None if it
    ran as trained. size: (height, width) that samples were resized to, None for that of the bundle's samples.
    """

    threads: int
    batch: int
    duration_s: float
    samples: int
    source: str
    cpus: Optional[Tuple[int, ...]]
    budget: Optional[float] = None
    size: Optional[Size] = None


@dataclass(frozen=True)
class Profile:
    """Latency of the variants of a bundle on the same samples, and whether it may be quoted.

    baseline, main: the variant that is compared with and the one that is the network as trained, the same where there
    is nothing to compare with, and then there are no ratios. includes: what a latency contains; node_source: whose
    account the times per node are; gates: what each gate costs and saves by these times; gap: where saved work was not
    saved time, None without gates; readings: the first and the last look at the sensors; stalls: rare long
    calls of each variant; controls: power mode and clocks that were held; energy: see `profile.energy`, None if it was
    not asked for; proof: None for a network
    without gates, and then JSON has no version of our library either; tuning_note: a sentence if the bundle was tuned
    on another machine; budgets: if they were asked for. The remaining fields are described by their types.
    """

    created: str
    bundle: Mapping[str, Any]
    settings: RunSettings
    includes: str
    baseline: str
    main: str
    variants: Mapping[str, VariantTimes]
    macs: Macs
    ratios: Optional[Ratios]
    samples: Tuple[SampleRow, ...]
    correlation: Optional[float]
    layers: Tuple[LayerRow, ...]
    gates: Tuple[GateBalance, ...]
    gap: Optional[Gap]
    nodes: Mapping[str, NodeTimes]
    node_source: str
    validity: Validity
    readings: Tuple[Reading, Reading]
    elapsed_s: float
    in_turns: bool
    stalls: Mapping[str, Stalls]
    controls: Held
    energy: Optional[Mapping[str, Any]]
    device: Mapping[str, Any]
    device_id: str
    device_name: str
    versions: Mapping[str, str]
    proof: Optional[Proof]
    tuning_note: Optional[str]
    budgets: Tuple[BudgetRow, ...] = ()

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON; runtime/README.md names the keys."""
        first, last = self.readings
        cpus = self.settings.cpus
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "profile",
            "created": self.created,
            "bundle": dict(self.bundle),
            "settings": {
                **asdict(self.settings),
                "cpus": None if cpus is None else list(cpus),
                "size": None if self.settings.size is None else list(self.settings.size),
            },
            "includes": self.includes,
            "baseline": self.baseline,
            "main": self.main,
            "variants": {name: times.to_json() for name, times in self.variants.items()},
            "macs": asdict(self.macs),
            "ratios": self.ratios.to_json() if self.ratios is not None else None,
            "samples": [asdict(row) for row in self.samples],
            "correlation": self.correlation,
            "layers": [row.to_json() for row in self.layers],
            "gates": [row.to_json() for row in self.gates],
            "gap": self.gap.to_json() if self.gap is not None else None,
            "node_times": {
                "perturbed": True,
                "note": f"from {self.node_source} in a separate run, which slows every node down: read as shares",
                **{name: {"total_ms": row.total_ms, "other_ms": row.other_ms} for name, row in self.nodes.items()},
            },
            "validity": self.validity.to_json(),
            "sensors": {"first": first.to_json(), "last": last.to_json()},
            "elapsed_s": self.elapsed_s,
            "in_turns": self.in_turns,
            "stalls": {name: row.to_json() for name, row in self.stalls.items()},
            **self.controls.to_json(),
            "energy": None if self.energy is None else dict(self.energy),
            "device": dict(self.device),
            "device_id": self.device_id,
            "device_name": self.device_name,
            "versions": dict(self.versions),
            "library": _library(self.proof),
            "proof": self.proof.to_json() if self.proof is not None else None,
            "tuning_note": self.tuning_note,
            "budgets": [row.to_json() for row in self.budgets],
        }


def _library(proof: Optional[Proof]) -> Optional[Dict[str, Any]]:
    return None if proof is None else {"version": proof.library_version, "isa": proof.isa}


def variant_times(measurement: Measurement, variant: str) -> VariantTimes:
    """What a measurement says about one variant."""
    return VariantTimes(
        latency=stats(measurement.latency_ms[variant]),
        typical_ms=measurement.typical_ms(variant),
        spread_ms=measurement.spread_ms(variant),
        warm_up=measurement.warm_up[variant],
    )
