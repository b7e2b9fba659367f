"""What the GPU measurements add up to: the density at which skipping pays, and a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass
class Measurement:
    """One layer at one batch and element type. Times are medians in microseconds."""

    layer: str
    networks: list[str]
    element: str
    batch: int
    macs: int
    dense_us: dict[str, float]  # by way of computing it
    gated_us: dict[float, float]  # by the fraction of channels kept on both sides
    plans: dict[float, str]
    chosen_us: dict[float, float] = field(default_factory=dict)  # with the plan that the library prefers

    @property
    def best_dense(self) -> str:
        """The fastest dense way: the baseline of every ratio. Ways that round their inputs to TF32 are no baseline."""
        exact = [name for name in self.dense_us if not name.endswith("TF32")]
        return min(exact, key=lambda name: self.dense_us[name])

    @property
    def best_dense_us(self) -> float:
        """Its time."""
        return self.dense_us[self.best_dense]

    def as_json(self) -> dict:
        """Plain data, the derived numbers included."""
        return asdict(self) | {"best_dense_us": self.best_dense_us, "break_even": break_even(self)}


def break_even(m: Measurement) -> float | None:
    """The largest kept fraction at which the gated layer is as fast as the dense one, linear between measured points.

    None if it is slower at every point; the largest measured fraction if it is faster there already.
    """
    points = sorted(m.gated_us.items())
    found = None
    for i, (keep, time) in enumerate(points):
        if time <= m.best_dense_us:
            found = keep
            continue
        if found is None or i == 0 or points[i - 1][1] > m.best_dense_us:
            continue
        below, below_time = points[i - 1]
        found = below + (keep - below) * (m.best_dense_us - below_time) / (time - below_time)
    return found


def table(measurements: list[Measurement]) -> str:
    """Markdown: per line a layer, per column a kept fraction with time and speed-up over the fastest dense way."""
    keeps = sorted({k for m in measurements for k in m.gated_us}, reverse=True)
    lines = [
        "| layer | type | batch | dense us | " + " | ".join(f"keep {k:g}" for k in keeps) + " | break-even |",
        "|---" * (len(keeps) + 5) + "|",
    ]
    for m in measurements:
        cells = [
            f"{m.gated_us[k]:.1f} us, {m.best_dense_us / m.gated_us[k]:.2f}x" if k in m.gated_us else "" for k in keeps
        ]
        even = break_even(m)
        last = "never" if even is None else f"{even:.2f}"
        dense = f"{m.best_dense_us:.1f} ({m.best_dense})"
        lines.append(f"| {m.layer} | {m.element} | {m.batch} | {dense} | {' | '.join(cells)} | {last} |")
    return "\n".join(lines)
