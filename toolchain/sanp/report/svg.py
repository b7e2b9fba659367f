"""A very small plotting kit: linear axes and marks as inline SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 520, 66, 14, 16, 40


@dataclass
class Plot:
    """Axes from x[0] to x[1] and y[0] to y[1]; marks are added in data coordinates and clipped to nothing."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str
    y_label: str = ""
    title: str = ""
    height: int = 300
    y_axis: bool = True
    parts: list[str] = field(default_factory=list)

    def px(self, value: float) -> float:
        """Horizontal position in pixels."""
        low, high = self.x
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def py(self, value: float) -> float:
        """Vertical position in pixels."""
        low, high = self.y
        return self.height - _BOTTOM - (value - low) / (high - low) * (self.height - _TOP - _BOTTOM)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A polyline of CSS class `kind`."""
        path = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def area(self, points: Sequence[tuple[float, float]], kind: str, value: str = "") -> None:
        """A filled polygon; value: what a pointer on it, or the keyboard, shows."""
        path = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        self.parts.append(f'<polygon class="{kind}" points="{path}"{_shown(value, "polygon")}')

    def dots(self, points: Sequence[tuple[float, float]], kind: str, values: Sequence[str] = ()) -> None:
        """Small circles; values: what a pointer on each shows. A single one can be reached with the keyboard too."""
        reached = len(points) == 1
        for index, (x, y) in enumerate(points):
            rest = _shown(values[index] if values else "", "circle", reached)
            self.parts.append(f'<circle class="{kind}" cx="{self.px(x):.1f}" cy="{self.py(y):.1f}" r="2.6"{rest}')

    def text(self, x: float, y: float, words: str, kind: str = "note", anchor: str = "start", dy: float = 0) -> None:
        """A label at a data position, moved down by dy pixels."""
        self.parts.append(
            f'<text class="{kind}" x="{self.px(x):.1f}" y="{self.py(y) + dy:.1f}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def render(self) -> str:
        """The complete SVG element."""
        marks = "".join(self.parts)
        return (
            f'<svg viewBox="0 0 {_WIDTH} {self.height}" role="img" aria-label="{escape(self.title)}">'
            f"<title>{escape(self.title)}</title>{self._axes()}{marks}</svg>"
        )

    def _axes(self) -> str:
        bottom, right = self.height - _BOTTOM, _WIDTH - _RIGHT
        rows = []
        for value in ticks(*self.x):
            at = self.px(value)
            rows.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}"/>')
            rows.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 15}" text-anchor="middle">{value:g}</text>')
        if self.y_axis:
            for value in ticks(*self.y):
                at = self.py(value)
                rows.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
                rows.append(f'<text class="tick" x="{_LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
        middle = (_LEFT + right) / 2
        rows.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
        rows.append(
            f'<text class="label" x="{middle}" y="{self.height - 6}" text-anchor="middle">{escape(self.x_label)}</text>'
        )
        if self.y_label:
            up = (bottom + _TOP) / 2
            rows.append(
                f'<text class="label" transform="translate(14 {up}) rotate(-90)" text-anchor="middle">'
                f"{escape(self.y_label)}</text>"
            )
        return "".join(rows)


def _shown(value: str, element: str, reached: bool = True) -> str:
    """The end of an element that shows a value: as a title for pointers, as a label for those who cannot see it.

    Hundreds of marks are not stations of the tab key: their values are in the tables beside the page.
    """
    if not value:
        return "/>"
    focus = f' tabindex="0" role="img" aria-label="{escape(value)}"' if reached else ""
    return f"{focus}><title>{escape(value)}</title></{element}>"


def picture(svg: str | None) -> Any:
    """A plot as a template takes it: not escaped again, because `Plot` escapes every word."""
    from markupsafe import Markup

    return Markup(svg) if svg is not None else None


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers between low and high, about `count` of them."""
    raw = (high - low) / max(count, 1)
    if not raw > 0 or not math.isfinite(raw):
        return []
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]
