"""Charts drawn once and shown twice: as pixels for a PNG, and as SVG for a page.

A drawing is a list of shapes whose colours are roles ("src", "ink"), so that the page can show
the same chart light or dark. The colours are those of Okabe and Ito, "Color Universal Design"
(2008), which people with any kind of colour vision tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from types import MappingProxyType
from typing import Any, Final, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Role = Literal["ink", "faint", "rule", "back", "src", "dst", "need"]
Anchor = Literal["start", "middle", "end"]
Colour = tuple[int, int, int]

LIGHT: Final[Mapping[Role, Colour]] = MappingProxyType(
    {
        "ink": (28, 30, 34),
        "faint": (92, 97, 106),
        "rule": (206, 210, 216),
        "back": (255, 255, 255),
        "src": (0, 114, 178),
        "dst": (230, 159, 0),
        "need": (213, 94, 0),
    }
)
DARK: Final[Mapping[Role, Colour]] = MappingProxyType(
    {
        "ink": (236, 238, 241),
        "faint": (164, 170, 180),
        "rule": (66, 71, 80),
        "back": (22, 24, 28),
        "src": (86, 180, 233),
        "dst": (240, 190, 60),
        "need": (255, 128, 60),
    }
)


@dataclass(frozen=True)
class Box:
    """A filled rectangle; `title` is what a pointer over it shows."""

    x: float
    y: float
    w: float
    h: float
    role: Role
    opacity: float = 1.0
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    role: Role
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True)
class Dot:
    """A disk, or a ring."""

    x: float
    y: float
    radius: float
    role: Role
    opacity: float = 1.0
    ring: bool = False


@dataclass(frozen=True)
class Words:
    """Text with its base line at y."""

    x: float
    y: float
    text: str
    size: float = 13.0
    role: Role = "ink"
    anchor: Anchor = "start"
    bold: bool = False


Shape = Box | Line | Dot | Words


@dataclass(frozen=True)
class Drawing:
    """Shapes on a sheet of `width` by `height` units, which are CSS pixels."""

    width: float
    height: float
    shapes: tuple[Shape, ...]
    label: str
    """What it shows, for those who do not see it."""

    def moved(self, x: float, y: float) -> list[Shape]:
        """Its shapes shifted, to be put on a larger sheet."""
        return [_moved(shape, x, y) for shape in self.shapes]


def _moved(shape: Shape, x: float, y: float) -> Shape:
    if isinstance(shape, Line):
        points = tuple((px + x, py + y) for px, py in shape.points)
        return Line(points, shape.role, shape.width, shape.dashed)
    return replace(shape, x=shape.x + x, y=shape.y + y)


# --- pixels

_SHIFT = 4
_FONT_WEIGHT = 400
_BOLD_WEIGHT = 700


def to_pixels(
    drawing: Drawing, *, scale: float = 2.0, colours: Mapping[Role, Colour] = LIGHT
) -> NDArray[np.uint8]:
    """The drawing as a picture, h w 3 RGB uint8, `scale` pixels a unit."""
    size = (round(drawing.height * scale), round(drawing.width * scale), 3)
    image = np.full(size, colours["back"], np.uint8)
    for shape in drawing.shapes:
        if isinstance(shape, Words):
            _draw_words(image, shape, scale, colours)
        else:
            _draw_shape(image, shape, scale, colours)
    return image


def _draw_shape(
    image: NDArray[np.uint8], shape: Box | Line | Dot, scale: float, colours: Mapping[Role, Colour]
) -> None:
    colour = colours[shape.role]
    if isinstance(shape, Line):
        width = max(1, round(shape.width * scale))
        for a, b in _dashes(shape):
            cv2.line(
                image, _fixed(*a, scale), _fixed(*b, scale), colour, width, cv2.LINE_AA, _SHIFT
            )
        return
    radius = shape.radius if isinstance(shape, Dot) else 0.0
    w, h = (2 * radius, 2 * radius) if isinstance(shape, Dot) else (shape.w, shape.h)
    left, top = shape.x - radius, shape.y - radius
    x0, y0 = max(0, int(left * scale) - 2), max(0, int(top * scale) - 2)
    part = image[y0 : int((top + h) * scale) + 3, x0 : int((left + w) * scale) + 3]
    if not part.size:
        return
    drawn = part.copy()
    if isinstance(shape, Dot):
        centre = _fixed(shape.x - x0 / scale, shape.y - y0 / scale, scale)
        thickness = max(1, round(scale)) if shape.ring else -1
        length = round(radius * scale * (1 << _SHIFT))
        cv2.circle(drawn, centre, length, colour, thickness, cv2.LINE_AA, _SHIFT)
    else:
        x, y = round(shape.x * scale) - x0, round(shape.y * scale) - y0
        right, bottom = round((shape.x + w) * scale) - x0, round((shape.y + h) * scale) - y0
        drawn[max(y, 0) : bottom, max(x, 0) : right] = colour
    mixed = cv2.addWeighted(drawn, shape.opacity, part, 1 - shape.opacity, 0)
    part[:] = np.asarray(mixed, dtype=np.uint8)


def _fixed(x: float, y: float, scale: float) -> tuple[int, int]:
    """A point in OpenCV's fixed-point pixels, whose centres are at whole numbers."""
    factor = 1 << _SHIFT
    return round((x * scale - 0.5) * factor), round((y * scale - 0.5) * factor)


def _dashes(line: Line) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    pairs = list(zip(line.points, line.points[1:], strict=False))
    if not line.dashed:
        return pairs
    parts: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for (ax, ay), (bx, by) in pairs:
        count = max(1, round(float(np.hypot(bx - ax, by - ay)) / 4))
        xs, ys = np.linspace(ax, bx, count + 1).tolist(), np.linspace(ay, by, count + 1).tolist()
        steps = list(zip(xs, ys, strict=True))
        parts += [(steps[i], steps[i + 1]) for i in range(0, count, 2)]
    return parts


def _draw_words(
    image: NDArray[np.uint8], words: Words, scale: float, colours: Mapping[Role, Colour]
) -> None:
    font = cast("Any", cv2).FontFace("sans")
    size = round(words.size * scale)
    weight = _BOLD_WEIGHT if words.bold else _FONT_WEIGHT
    whole = (image.shape[1], image.shape[0])
    width = cast("Any", cv2).getTextSize(whole, words.text, (0, 0), font, size, weight)[2]
    start = {"start": 0.0, "middle": width / 2, "end": float(width)}[words.anchor]
    place = (round(words.x * scale - start), round(words.y * scale))
    cast("Any", cv2).putText(image, words.text, place, colours[words.role], font, size, weight)


# --- SVG


def to_svg(drawing: Drawing) -> str:
    """The drawing as an `<svg>` element whose colours are the page's CSS variables `--<role>`."""
    parts = [_svg(shape) for shape in drawing.shapes]
    return (
        f'<svg role="img" aria-label="{escape(drawing.label)}" '
        f'viewBox="0 0 {_n(drawing.width)} {_n(drawing.height)}" '
        f'width="{_n(drawing.width)}" height="{_n(drawing.height)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def css_colours(colours: Mapping[Role, Colour]) -> str:
    """The roles as CSS variables."""
    return "".join(f"--{role}:rgb{colour};".replace(" ", "") for role, colour in colours.items())


def _svg(shape: Shape) -> str:
    fill = f"var(--{shape.role})"
    if isinstance(shape, Words):
        weight = ' font-weight="700"' if shape.bold else ""
        return (
            f'<text x="{_n(shape.x)}" y="{_n(shape.y)}" font-size="{_n(shape.size)}" '
            f'fill="{fill}" text-anchor="{shape.anchor}"{weight}>{escape(shape.text)}</text>'
        )
    if isinstance(shape, Line):
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in shape.points)
        dash = ' stroke-dasharray="4"' if shape.dashed else ""
        return (
            f'<polyline points="{points}" fill="none" stroke="{fill}" '
            f'stroke-width="{_n(shape.width)}"{dash}/>'
        )
    paint = f'fill="{fill}" fill-opacity="{_n(shape.opacity)}"'
    if isinstance(shape, Dot):
        paint = (
            f'fill="none" stroke="{fill}" stroke-opacity="{_n(shape.opacity)}"'
            if shape.ring
            else paint
        )
        return f'<circle cx="{_n(shape.x)}" cy="{_n(shape.y)}" r="{_n(shape.radius)}" {paint}/>'
    box = f'x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.w)}" height="{_n(shape.h)}"'
    if not shape.title:
        return f"<rect {box} {paint}/>"
    return f"<rect {box} {paint}><title>{escape(shape.title)}</title></rect>"


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def stacked(parts: Sequence[tuple[Drawing, float, float]], label: str) -> Drawing:
    """Drawings put on one sheet, each at its (x, y)."""
    width = max(x + part.width for part, x, _ in parts)
    height = max(y + part.height for part, _, y in parts)
    shapes = [shape for part, x, y in parts for shape in part.moved(x, y)]
    return Drawing(width, height, tuple(shapes), label)
