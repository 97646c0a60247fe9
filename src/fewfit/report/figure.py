"""Charts as plain SVG: scales, axes, and what is drawn between them. Colours are classes, which the page's style has
for light and for dark.

A chart is a picture with a name and a description for those who do not see it; its numbers stand in a table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fewfit.report.markup import Markup, escaped, tag

WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 10, 40
Point = tuple[float, float]


def kind_class(kind: str) -> str:
    return f"k-{kind.replace('+', '-')}"


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from low to high, `most` of them or fewer."""
    if high <= low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(one for one in (1, 2, 5, 10) if (high - low) / (step * one) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(step * k, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass
class Chart:
    """A plane with axes, drawn from back to front."""

    low: Point  # x, y
    high: Point
    height: int = 320
    width: int = WIDTH
    left: int = LEFT
    _drawn: list[Markup] = field(default_factory=list)

    def x(self, value: float) -> float:
        share = (value - self.low[0]) / ((self.high[0] - self.low[0]) or 1.0)
        return round(self.left + share * (self.width - self.left - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low[1]) / ((self.high[1] - self.low[1]) or 1.0)
        return round(self.height - BOTTOM - share * (self.height - BOTTOM - TOP), 1)

    def add(self, name: str, *children: Any, title: str | None = None, **attributes: Any) -> None:
        told = None if title is None else tag("title", title)
        self._drawn.append(tag(name, told, *children, **attributes))

    # ---- axes ------------------------------------------------------------------------------------------------------

    def x_axis(self, at: Iterable[tuple[float, str]], name: str) -> None:
        bottom = self.height - BOTTOM
        for value, text in at:
            self.add("line", class_="grid", x1=self.x(value), x2=self.x(value), y1=TOP, y2=bottom)
            self.text(self.x(value), bottom + 15, text)
        self.text((self.left + self.width - RIGHT) / 2, self.height - 6, name, class_="axis")

    def y_axis(self, at: Iterable[tuple[float, str]]) -> None:
        for value, text in at:
            self.add("line", class_="grid", x1=self.left, x2=self.width - RIGHT, y1=self.y(value), y2=self.y(value))
            self.text(self.left - 6, self.y(value) + 4, text, anchor="end")

    def y_rows(self, names: Sequence[str]) -> None:
        """A row each, from the top; row k lies at y = -k."""
        for k, name in enumerate(names):
            self.text(self.left - 8, self.y(-k) + 4, name, anchor="end", class_="row")

    def text(self, x: float, y: float, text: str, anchor: str = "middle", class_: str | None = None) -> None:
        self.add("text", text, x=round(x, 1), y=round(y, 1), text_anchor=anchor, class_=class_)

    # ---- data ------------------------------------------------------------------------------------------------------

    def line(self, points: Sequence[Point], class_: str, title: str | None = None) -> None:
        way = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)
        self.add("polyline", title=title, class_=f"line {class_}", points=way)

    def band(self, points: Sequence[tuple[float, float, float]], class_: str) -> None:
        """x, low, high."""
        above = [f"{self.x(x)},{self.y(high)}" for x, _, high in points]
        below = [f"{self.x(x)},{self.y(low)}" for x, low, _ in reversed(points)]
        self.add("polygon", class_=f"band {class_}", points=" ".join(above + below))

    def dot(self, x: float, y: float, class_: str, title: str | None = None, radius: float = 4.5) -> None:
        self.add("circle", title=title, class_=f"dot {class_}", cx=self.x(x), cy=self.y(y), r=radius)

    def stroke(self, start: Point, end: Point, class_: str, title: str | None = None) -> None:
        (x1, y1), (x2, y2) = start, end
        self.add("line", title=title, class_=class_, x1=self.x(x1), x2=self.x(x2), y1=self.y(y1), y2=self.y(y2))

    def drawing(self, name: str) -> Markup:
        return tag(
            "svg",
            escaped(self._drawn),
            viewBox=f"0 0 {self.width} {self.height}",
            role="img",
            aria_label=name,
            class_="chart",
        )


def figure(chart: Chart, name: str, caption: Any, legend: Sequence[tuple[str, str]] = ()) -> Markup:
    """`legend` are classes and what they stand for."""
    keys = [tag("li", tag("span", class_=f"key {class_}", aria_hidden="true"), text) for class_, text in legend]
    return tag(
        "figure",
        tag("ul", keys, class_="legend") if keys else None,
        tag("div", chart.drawing(name), class_="scroll", tabindex="0", role="group", aria_label="Chart"),
        tag("figcaption", caption),
    )


def hundredths(low: float = 0.0, high: float = 1.0) -> list[tuple[float, str]]:
    """Ticks of a score, of 100."""
    return [(value, f"{round(100 * value):d}".replace("-", "−")) for value in ticks(low, high, 5)]
