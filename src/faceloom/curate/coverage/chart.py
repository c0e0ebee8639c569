"""The charts of a comparison: head poses as heat maps, all else as small distributions."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.curate.coverage.advice import percent
from faceloom.curate.coverage.compare import DIMENSIONS, PITCH_EDGES_DEG, YAW_EDGES_DEG, Coverage
from faceloom.curate.coverage.drawing import Box, Dot, Drawing, Line, Role, Shape, Words, stacked
from faceloom.curate.measures.traits import EXPRESSIONS

WIDTH: Final = 1180.0
_TILE_W, _TILE_H, _GAP = 277.0, 150.0, 24.0
_MAP_W = (WIDTH - 2 * _GAP) / 3
_FULL_INK = 0.62
"""Opacity of the fullest cell: the number in it must stay legible, light or dark."""
_EDGE = 14.0
"""Room for the half of a label beyond the last cell."""
_BINS = 24
_MOST_DOTS = 400
_HARD_LIGHT = 0.6
"""How directional light is at the rim of its chart."""
_TITLES: Final[dict[str, str]] = {
    "mouth_open": "Mouth open",
    "smile": "Smile",
    "lips_pursed": "Lips pursed",
    "eyes_closed": "Eyes closed",
    "brows_raised": "Brows raised, from rest",
    "brows_lowered": "Brows lowered, from rest",
    "gaze_right": "Gaze, left to right",
    "gaze_down": "Gaze, up to down",
}


def pose_maps(coverage: Coverage) -> list[Drawing]:
    """Three heat maps of yaw by pitch: src's faces, dst's faces, and dst's faces without src."""
    rows, columns = _shown(coverage)
    maps: tuple[tuple[str, Role, str], ...] = (
        ("src", "src", "src has"),
        ("dst", "dst", "dst asks for"),
        ("need", "need", "dst without src"),
    )
    return [
        _heat_map(coverage.grids[name][rows, columns], rows, columns, role, title)
        for name, role, title in maps
    ]


def _shown(coverage: Coverage) -> tuple[slice, slice]:
    """The rows and columns that hold faces, with level and straight ahead always among them."""
    filled = coverage.grids["src"] + coverage.grids["dst"] > 0
    spans: list[slice] = []
    for axis, count in ((1, filled.shape[0]), (0, filled.shape[1])):
        used = [*np.flatnonzero(filled.any(axis)), count // 2 - 2, count // 2 + 1]
        spans.append(slice(int(min(used)), int(max(used)) + 1))
    return spans[0], spans[1]


def _heat_map(
    counts: NDArray[np.intp], rows: slice, columns: slice, role: Role, title: str
) -> Drawing:
    """Counts in cells of 10 degrees, with axes."""
    left, top = 62.0, 34.0
    cell_w = (_MAP_W - left - _EDGE) / counts.shape[1]
    cell_h = min(cell_w, 30.0)
    total, highest = int(counts.sum()), max(int(counts.max()), 1)
    shapes: list[Shape] = [Words(left, 16, f"{title}: {total:,} faces", 15, bold=True)]
    yaw, pitch = YAW_EDGES_DEG[::-1][columns], PITCH_EDGES_DEG[::-1][rows]
    for (i, j), count in np.ndenumerate(counts):
        x, y = left + j * cell_w, top + i * cell_h
        shapes.append(Box(x, y, cell_w - 1.5, cell_h - 1.5, "rule", 0.28))
        if not count:
            continue
        opacity = 0.1 + (_FULL_INK - 0.1) * float(np.sqrt(count / highest))
        where = f"{_yaw(float(yaw[j]) - 5)}, {_pitch(float(pitch[i]) - 5)}: {count} faces"
        shapes.append(Box(x, y, cell_w - 1.5, cell_h - 1.5, role, opacity, where))
        number = _short(int(count))
        size = min(12.0, (cell_w - 4) / (0.62 * len(number)))
        middle = y + cell_h / 2 + size * 0.36
        shapes.append(Words(x + cell_w / 2 - 0.7, middle, number, size, anchor="middle"))
    bottom = top + counts.shape[0] * cell_h
    shapes += _map_axes(counts.shape, yaw, pitch, left, top, cell_w, cell_h)
    return Drawing(
        _MAP_W,
        bottom + 40,
        tuple(shapes),
        f"Heat map of head poses, {title}: {total} faces in cells of 10 degrees.",
    )


def _map_axes(
    shape: tuple[int, ...],
    yaw: NDArray[np.float64],
    pitch: NDArray[np.float64],
    left: float,
    top: float,
    cell_w: float,
    cell_h: float,
) -> list[Shape]:
    bottom = top + shape[0] * cell_h
    shapes: list[Shape] = []
    step = 10 if cell_w >= 30 else 20
    for j in range(shape[1] + 1):
        edge = round(float(yaw[0])) - 10 * j
        if edge % step == 0:
            x = left + j * cell_w
            shapes.append(Words(x, bottom + 15, f"{abs(edge)}°", 11, "faint", "middle"))
    for i in range(shape[0] + 1):
        edge = round(float(pitch[0])) - 10 * i
        label = f"{abs(edge)}°" + (" up" if edge > 0 else " down" if edge < 0 else "")
        if edge % 20 == 0:
            shapes.append(Words(left - 6, top + i * cell_h + 4, label, 11, "faint", "end"))
    middle = left + float(yaw[0]) / 10 * cell_w
    shapes += [
        Words(left, bottom + 33, "← to the picture's left", 12, "faint"),
        Words(_MAP_W - _EDGE, bottom + 33, "to its right →", 12, "faint", "end"),
        Line(((middle, top), (middle, bottom)), "faint", 1, dashed=True),
    ]
    return shapes


def _short(count: int) -> str:
    """A count in at most four characters."""
    if count < 10_000:
        return str(count)
    return f"{count // 1000}k"


def _yaw(centre: float) -> str:
    return f"{abs(centre):.0f}° to the picture's {'left' if centre > 0 else 'right'}"


def _pitch(centre: float) -> str:
    return f"{abs(centre):.0f}° {'up' if centre > 0 else 'down'}"


# --- small charts


def small_charts(coverage: Coverage) -> list[Drawing]:
    """The shares, the light, and a distribution for size, brightness and each part of an
    expression."""
    src, dst = coverage.src, coverage.dst
    charts = [_shares(coverage), _lights(coverage)]
    charts.append(_distribution("Size in the frame", src.size_px, dst.size_px, " px"))
    charts.append(_distribution("Brightness", src.brightness, dst.brightness, ""))
    for number, part in enumerate(EXPRESSIONS):
        unit = "°" if part.tolerance > 1 else ""
        values = (src.expression[:, number], dst.expression[:, number])
        charts.append(_distribution(_TITLES[part.name], *values, unit))
    return charts


def _shares(coverage: Coverage) -> Drawing:
    """How much of dst is covered, by dimension."""
    shapes: list[Shape] = [Words(0, 16, "Share of dst covered", 15, bold=True)]
    bars = [
        ("pose + expr.", coverage.score),
        *((name, coverage.share(name)) for name in DIMENSIONS),
    ]
    label: list[str] = []
    for number, (name, share) in enumerate(bars):
        y = 28 + number * 20
        shapes.append(Words(90, y + 12, name, 12, anchor="end", bold=not number))
        shapes.append(Box(98, y, 108, 15, "rule", 0.4))
        if np.isfinite(share):
            shapes.append(Box(98, y, 108 * share, 15, "src", _FULL_INK))
        shapes.append(Words(_TILE_W, y + 12, percent(share), 12, anchor="end"))
        label.append(f"{name} {percent(share)}")
    return Drawing(_TILE_W, _TILE_H, tuple(shapes), f"Share of dst covered: {', '.join(label)}.")


def _lights(coverage: Coverage) -> Drawing:
    """Where the light comes from: the side and the height, further out the more directional."""
    cx, cy, radius = 64.0, 88.0, 56.0
    shapes: list[Shape] = [
        Words(0, 16, "Light comes from", 15, bold=True),
        Dot(cx, cy, radius, "rule", ring=True),
        Dot(cx, cy, radius / 2, "rule", ring=True),
        Line(((cx - radius, cy), (cx + radius, cy)), "rule"),
        Line(((cx, cy - radius), (cx, cy + radius)), "rule"),
        Words(cx + radius + 16, cy - 22, "src", 12),
        Dot(cx + radius + 50, cy - 26, 4, "src", 0.8),
        Words(cx + radius + 16, cy - 2, "dst", 12),
        Dot(cx + radius + 50, cy - 6, 4, "dst", ring=True),
        Words(cx + radius + 16, cy + 24, "centre: frontal or even", 11, "faint"),
        Words(cx + radius + 16, cy + 40, "rim: from the side", 11, "faint"),
    ]
    both: tuple[tuple[NDArray[np.float64], Role, bool], ...] = (
        (coverage.src.light, "src", False),
        (coverage.dst.light, "dst", True),
    )
    for light, role, ring in both:
        known = light[np.isfinite(light).all(1)]
        step = max(1, -(-len(known) // _MOST_DOTS))
        for x, y, _ in (known[::step] / _HARD_LIGHT).tolist():
            far = max(1.0, float(np.hypot(x, y)))
            place = (cx + x / far * radius, cy + y / far * radius)
            shapes.append(Dot(*place, 2.4, role, 0.45, ring))
    label = "Directions of the light on src's and dst's faces, as seen from the front."
    return Drawing(_TILE_W, _TILE_H, tuple(shapes), label)


def _distribution(
    title: str, src: NDArray[np.float64], dst: NDArray[np.float64], unit: str
) -> Drawing:
    """Two distributions on one axis: src filled, dst as a line."""
    shapes: list[Shape] = [Words(0, 16, title, 15, bold=True)]
    values = [side[np.isfinite(side)] for side in (src, dst)]
    bottom, height = 128.0, 98.0
    if not len(values[0]) or not len(values[1]):
        shapes.append(Words(0, 70, "not measured", 12, "faint"))
        return Drawing(_TILE_W, _TILE_H, tuple(shapes), f"{title}: not measured.")
    low, high = (float(f(np.concatenate(values))) for f in (np.min, np.max))
    high = max(high, low + (1.0 if unit else 0.05))
    shares = [np.histogram(side, bins=_BINS, range=(low, high))[0] / len(side) for side in values]
    highest = max(float(share.max()) for share in shares)
    step = _TILE_W / _BINS
    for number, share in enumerate(shares[0].tolist()):
        if share:
            tall = height * share / highest
            shapes.append(Box(number * step, bottom - tall, step - 0.5, tall, "src", _FULL_INK))
    outline: list[tuple[float, float]] = []
    for number, share in enumerate(shares[1].tolist()):
        y = bottom - height * share / highest
        outline += [(number * step, y), ((number + 1) * step, y)]
    shapes.append(Line(tuple(outline), "dst", 2.2))
    shapes.append(Line(((0, bottom), (_TILE_W, bottom)), "faint"))
    shapes.append(Words(0, bottom + 15, _number(low, unit), 11, "faint"))
    shapes.append(Words(_TILE_W, bottom + 15, _number(high, unit), 11, "faint", "end"))
    medians = [_number(float(np.median(side)), unit) for side in values]
    if "rest" not in title:
        told = f"src {medians[0]}, dst {medians[1]}"
        shapes.append(Words(_TILE_W, 16, told, 11, "faint", "end"))
    label = f"{title}: median of src {medians[0]}, of dst {medians[1]}."
    return Drawing(_TILE_W, _TILE_H, tuple(shapes), label)


def _number(value: float, unit: str) -> str:
    return f"{value:.0f}{unit}" if unit else f"{value:.2f}"


def chart(coverage: Coverage, title: str) -> Drawing:
    """All charts on one sheet, for a PNG."""
    margin = 28.0
    head = Drawing(
        WIDTH,
        60,
        (
            Words(0, 24, title, 24, bold=True),
            Words(
                0,
                48,
                f"src has head pose and expression at once for {percent(coverage.score)} of "
                "dst's faces. Blue, filled: src. Orange line: dst. Red: dst without src.",
                14,
                "faint",
            ),
        ),
        title,
    )
    parts: list[tuple[Drawing, float, float]] = [(head, margin, margin)]
    y = margin + head.height + 12
    maps = pose_maps(coverage)
    parts += [(part, margin + i * (_MAP_W + _GAP), y) for i, part in enumerate(maps)]
    y += maps[0].height + _GAP
    for number, part in enumerate(small_charts(coverage)):
        row, column = divmod(number, 4)
        place = (margin + column * (_TILE_W + _GAP), y + row * (_TILE_H + _GAP))
        parts.append((part, *place))
    sheet = stacked(parts, title)
    return Drawing(sheet.width + margin, sheet.height + margin, sheet.shapes, title)
