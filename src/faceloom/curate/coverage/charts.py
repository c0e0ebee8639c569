"""Charts of a comparison: head poses as heat maps, everything else as small distributions.

Each chart is drawn with matplotlib on axes of its own: all on one sheet for a PNG, or one by one
as SVG for the report, where colours become CSS variables so that one page serves light and dark.
The colours are those of Okabe and Ito, "Color Universal Design" (2008), which people with any kind
of colour vision can tell apart.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from faceloom.curate.coverage.advice import percent
from faceloom.curate.coverage.comparison import (
    DIMENSIONS,
    PITCH_EDGES_DEG,
    YAW_EDGES_DEG,
    Coverage,
)
from faceloom.curate.measures import EXPRESSIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Role = Literal["ink", "faint", "rule", "back", "src", "dst", "need"]

LIGHT: Final[Mapping[Role, str]] = MappingProxyType(
    {
        "ink": "#1c1e22",
        "faint": "#5c616a",
        "rule": "#ced2d8",
        "back": "#ffffff",
        "src": "#0072b2",
        "dst": "#e69f00",
        "need": "#d55e00",
    }
)
DARK: Final[Mapping[Role, str]] = MappingProxyType(
    {
        "ink": "#eceef1",
        "faint": "#a4aab4",
        "rule": "#424750",
        "back": "#16181c",
        "src": "#56b4e9",
        "dst": "#f0be3c",
        "need": "#ff803c",
    }
)
# Opacity of the fullest cell: the number in it must stay legible, light or dark.
_FULL: Final = 0.62
_BINS: Final = 24
_MOST_DOTS: Final = 400
# How directional light is at the rim of its chart.
_HARD_LIGHT: Final = 0.6
_MAP_PX: Final = 376.0
_MAP_MARGINS_PX: Final = (58.0, 26.0, 12.0, 44.0)
_TILE_PX: Final = (276.0, 150.0)
_TILE_MARGINS_PX: Final = (0.0, 24.0, 0.0, 22.0)
_SHARES_MARGINS_PX: Final = (112.0, 24.0, 0.0, 2.0)
_CELL_PX: Final = 28.0
_MARGIN_PX: Final = 28.0
_HEAD_PX: Final = 90.0
_COLUMNS: Final = 4
_PX_PER_INCH: Final = 96
_PNG_SCALE: Final = 2
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


@dataclass(frozen=True)
class Chart:
    """A chart that draws itself on axes of a size."""

    width_px: float
    height_px: float
    margins_px: tuple[float, float, float, float]
    """Around the axes, for their title and labels: left, top, right, bottom."""
    draw: Callable[[Axes], None]
    label: str
    """What it shows, for people who cannot see it."""


def pose_maps(coverage: Coverage) -> list[Chart]:
    """Three heat maps of yaw by pitch: src's faces, dst's faces, and uncovered dst faces."""
    rows, columns = _shown(coverage)
    maps: tuple[tuple[str, Role, str], ...] = (
        ("src", "src", "src"),
        ("dst", "dst", "dst"),
        ("need", "need", "dst without src"),
    )
    charts: list[Chart] = []
    for name, role, title in maps:
        counts = coverage.grids[name][rows, columns]

        def draw(
            ax: Axes, counts: NDArray[np.intp] = counts, role: Role = role, title: str = title
        ) -> None:
            _heat_map(ax, counts, rows, columns, role, title)

        label = f"Heat map of head poses, {title}: {counts.sum()} faces in cells of 10 degrees."
        height = _MAP_MARGINS_PX[1] + len(counts) * _CELL_PX + _MAP_MARGINS_PX[3]
        charts.append(Chart(_MAP_PX, height, _MAP_MARGINS_PX, draw, label))
    return charts


def _shown(coverage: Coverage) -> tuple[slice, slice]:
    """The rows and columns that hold faces; level and straight ahead are always among them."""
    filled = coverage.grids["src"] + coverage.grids["dst"] > 0
    spans: list[slice] = []
    for axis, count in ((1, filled.shape[0]), (0, filled.shape[1])):
        used = [*np.flatnonzero(filled.any(axis)), count // 2 - 2, count // 2 + 1]
        spans.append(slice(int(min(used)), int(max(used)) + 1))
    return spans[0], spans[1]


def _heat_map(
    ax: Axes, counts: NDArray[np.intp], rows: slice, columns: slice, role: Role, title: str
) -> None:
    from matplotlib.patches import Rectangle

    height, width = counts.shape
    highest = max(int(counts.max()), 1)
    yaw, pitch = YAW_EDGES_DEG[::-1][columns], PITCH_EDGES_DEG[::-1][rows]
    for (i, j), count in np.ndenumerate(counts):
        ax.add_patch(Rectangle((j, i), 0.95, 0.95, color=LIGHT["rule"], alpha=0.28, lw=0))
        if not count:
            continue
        alpha = 0.1 + (_FULL - 0.1) * float(np.sqrt(count / highest))
        cell = Rectangle((j, i), 0.95, 0.95, color=LIGHT[role], alpha=alpha, lw=0)
        where = f"{_yaw(float(yaw[j]) - 5)}, {_pitch(float(pitch[i]) - 5)}"
        cell.set_gid(f"tip:{where}: {count} faces")
        ax.add_patch(cell)
        text = str(count) if count < 10_000 else f"{count // 1000}k"
        size = min(9.0, 27 / len(text), 180 / width / max(len(text), 2))
        ax.text(j + 0.475, i + 0.5, text, size=size, ha="center", va="center")
    ax.axvline(float(yaw[0]) / 10, color=LIGHT["faint"], lw=0.8, ls=(0, (4, 4)))
    ax.set(xlim=(0, width), ylim=(height, 0))
    step = 1 if width <= 10 else 2
    first, edges = round(float(yaw[0])) // 10, range(width + 1)
    at = [edge for edge in edges if (first - edge) % step == 0]
    ax.set_xticks(at, [f"{abs(first - edge) * 10}°" for edge in at])
    top = round(float(pitch[0])) // 10
    level = [edge for edge in range(height + 1) if (top - edge) % 2 == 0]
    ax.set_yticks(level, [_pitch((top - edge) * 10) for edge in level])
    ax.set_xlabel("← picture's left   ·   picture's right →", color=LIGHT["faint"])
    ax.set_title(f"{title}: {counts.sum():,} faces", loc="left")
    ax.spines[:].set_visible(False)


def _yaw(angle: float) -> str:
    return f"{abs(angle):.0f}° to the picture's {'left' if angle > 0 else 'right'}"


def _pitch(angle: float) -> str:
    return f"{abs(angle):.0f}°" + (" up" if angle > 0 else " down" if angle < 0 else "")


def small_charts(coverage: Coverage) -> list[Chart]:
    """The shares, the light, and a distribution of size, brightness and each part of an
    expression."""
    src, dst = coverage.src, coverage.dst
    charts = [
        _shares(coverage),
        _lights(coverage),
        _distribution("Size in the frame", src.size_px, dst.size_px, " px"),
        _distribution("Brightness", src.brightness, dst.brightness, ""),
    ]
    for number, part in enumerate(EXPRESSIONS):
        unit = "°" if part.tolerance > 1 else ""
        values = (src.expression[:, number], dst.expression[:, number])
        charts.append(_distribution(_TITLES[part.name], *values, unit))
    return charts


def _shares(coverage: Coverage) -> Chart:
    """How much of dst is covered, by dimension."""
    shares = {"pose + expression": coverage.score}
    shares |= {name: coverage.share(name) for name in DIMENSIONS}
    texts = [percent(share) for share in shares.values()]

    def draw(ax: Axes) -> None:
        ax.barh(list(shares), 1, color=LIGHT["rule"], alpha=0.4, height=0.72)
        known = np.nan_to_num(list(shares.values()))
        ax.barh(list(shares), known, color=LIGHT["src"], alpha=_FULL, height=0.72)
        for place, text in enumerate(texts):
            ax.text(1.04, place, text, va="center", size=8.5)
        ax.set(xlim=(0, 1.34), xticks=[])
        ax.invert_yaxis()
        ax.tick_params(labelcolor=LIGHT["ink"])
        ax.spines[:].set_visible(False)
        left = _SHARES_MARGINS_PX[0]
        ax.set_title("Share of dst covered", loc="left", x=-left / (_TILE_PX[0] - left))

    told = ", ".join(f"{name} {text}" for name, text in zip(shares, texts, strict=True))
    return Chart(*_TILE_PX, _SHARES_MARGINS_PX, draw, f"Share of dst covered: {told}.")


def _lights(coverage: Coverage) -> Chart:
    """Where the light comes from: side and height, further out the more directional."""

    def draw(ax: Axes) -> None:
        from matplotlib.patches import Circle

        for radius in (1.0, 0.5):
            ax.add_patch(Circle((0, 0), radius, fill=False, color=LIGHT["rule"], lw=1))
        ax.plot([-1, 1], [0, 0], color=LIGHT["rule"], lw=1)
        ax.plot([0, 0], [-1, 1], color=LIGHT["rule"], lw=1)
        for light, role, ring in (
            (coverage.src.light, "src", False),
            (coverage.dst.light, "dst", True),
        ):
            known = light[np.isfinite(light).all(1), :2] / _HARD_LIGHT
            known = known[:: max(1, -(-len(known) // _MOST_DOTS))]
            places = known / np.maximum(1, np.hypot(*known.T))[:, None]
            fill = "none" if ring else LIGHT[role]
            ax.scatter(*places.T, 13, fill, edgecolors=LIGHT[role], alpha=0.45, linewidths=0.8)
        ax.text(1.25, -0.4, "● src", color=LIGHT["src"], size=9)
        ax.text(1.25, -0.05, "○ dst", color=LIGHT["dst"], size=9)
        ax.text(1.25, 0.45, "centre: frontal or even", color=LIGHT["faint"], size=8)
        ax.text(1.25, 0.75, "rim: from the side", color=LIGHT["faint"], size=8)
        ax.set(xlim=(-1.05, 3.6), ylim=(1.05, -1.05), xticks=[], yticks=[], aspect="equal")
        ax.set_anchor("W")
        ax.spines[:].set_visible(False)
        ax.set_title("Light comes from", loc="left")

    label = "Directions of the light on src's and dst's faces, as seen from the front."
    return Chart(*_TILE_PX, _TILE_MARGINS_PX, draw, label)


def _distribution(
    title: str, src: NDArray[np.float64], dst: NDArray[np.float64], unit: str
) -> Chart:
    """Two distributions on one axis: src filled, dst as a line."""
    values = [side[np.isfinite(side)] for side in (src, dst)]
    if not len(values[0]) or not len(values[1]):

        def nothing(ax: Axes) -> None:
            ax.set_title(title, loc="left")
            ax.text(0, 0.5, "not measured", color=LIGHT["faint"])
            ax.set_axis_off()

        return Chart(*_TILE_PX, _TILE_MARGINS_PX, nothing, f"{title}: not measured.")
    low, high = (float(f(np.concatenate(values))) for f in (np.min, np.max))
    high = max(high, low + (1.0 if unit else 0.05))
    edges = np.linspace(low, high, _BINS + 1)
    shares = [np.histogram(side, bins=edges)[0] / len(side) for side in values]
    form = f"{{:.0f}}{unit}" if unit else "{:.2f}"
    medians = [form.format(float(np.median(side))) for side in values]

    def draw(ax: Axes) -> None:
        step = edges[1] - edges[0]
        ax.bar(edges[:-1], shares[0], 0.95 * step, align="edge", color=LIGHT["src"], alpha=_FULL)
        ax.stairs(shares[1], edges, color=LIGHT["dst"], lw=1.8, baseline=None)
        ax.set(xlim=(low, high), yticks=[])
        ax.set_ylim(bottom=0)
        ax.set_xticks([low, high], [form.format(low), form.format(high)])
        for text, side in zip(ax.get_xticklabels(), ("left", "right"), strict=True):
            text.set_horizontalalignment(side)
        ax.spines[["left", "right", "top"]].set_visible(False)
        ax.set_title(title, loc="left")
        if "rest" not in title:
            told = f"src {medians[0]}, dst {medians[1]}"
            ax.set_title(told, loc="right", size=8, weight="normal", color=LIGHT["faint"])

    label = f"{title}: median of src {medians[0]}, of dst {medians[1]}."
    return Chart(*_TILE_PX, _TILE_MARGINS_PX, draw, label)


# --- output


@contextmanager
def _style() -> Iterator[None]:
    """matplotlib's settings for our charts, whatever the user's own are."""
    import matplotlib

    settings = {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "text.color": LIGHT["ink"],
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlecolor": LIGHT["ink"],
        "axes.edgecolor": LIGHT["faint"],
        "axes.labelsize": 8.5,
        "axes.facecolor": "none",
        "xtick.labelsize": 8,
        "xtick.major.pad": 3,
        "ytick.major.pad": 3,
        "ytick.labelsize": 8,
        "xtick.labelcolor": LIGHT["faint"],
        "ytick.labelcolor": LIGHT["faint"],
        "xtick.bottom": False,
        "ytick.left": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "faceloom",
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield


def _add(figure: Figure, chart: Chart, x_px: float, y_px: float) -> None:
    """Draw a chart with its upper left corner at a place of the figure."""
    width, height = (float(side) * _PX_PER_INCH for side in figure.get_size_inches())
    left, top, right, bottom = chart.margins_px
    axes_w, axes_h = chart.width_px - left - right, chart.height_px - top - bottom
    place = (x_px + left, height - y_px - top - axes_h, axes_w, axes_h)
    sides = (width, height, width, height)
    ax = figure.add_axes(tuple(v / side for v, side in zip(place, sides, strict=True)))
    chart.draw(ax)


def _figure(width_px: float, height_px: float, facecolor: str) -> Figure:
    from matplotlib.figure import Figure

    size = (width_px / _PX_PER_INCH, height_px / _PX_PER_INCH)
    return Figure(figsize=size, dpi=_PX_PER_INCH * _PNG_SCALE, facecolor=facecolor)


def charts_png(coverage: Coverage, title: str) -> bytes:
    """All charts on one sheet, as a PNG file."""
    maps, small = pose_maps(coverage), small_charts(coverage)
    width = 2 * _MARGIN_PX + _COLUMNS * _TILE_PX[0] + (_COLUMNS - 1) * _MARGIN_PX
    row_px = _TILE_PX[1] + _MARGIN_PX
    below_maps = _HEAD_PX + maps[0].height_px + _MARGIN_PX
    with _style():
        figure = _figure(width, below_maps + len(small) / _COLUMNS * row_px, LIGHT["back"])
        height = float(figure.get_size_inches()[1]) * _PX_PER_INCH
        left = _MARGIN_PX / width
        figure.text(left, 1 - 44 / height, title, size=18, weight="bold")
        about = (
            f"src covers {percent(coverage.score)} of dst's faces in head pose and expression "
            "together. Blue, filled: src. Orange line: dst. Red: dst without src."
        )
        figure.text(left, 1 - 68 / height, about, size=10, color=LIGHT["faint"])
        step = (width - 2 * _MARGIN_PX + _MARGIN_PX) / len(maps)
        for number, chart in enumerate(maps):
            _add(figure, chart, _MARGIN_PX + number * step, _HEAD_PX)
        for number, chart in enumerate(small):
            row, column = divmod(number, _COLUMNS)
            x = _MARGIN_PX + column * (_TILE_PX[0] + _MARGIN_PX)
            _add(figure, chart, x, below_maps + row * row_px)
        file = io.BytesIO()
        figure.savefig(file, format="png")
    return file.getvalue()


def chart_svg(chart: Chart) -> str:
    """The chart as an `<svg>` element without ids or links, whose colours are the page's CSS
    variables `--<role>`."""
    with _style():
        figure = _figure(chart.width_px, chart.height_px, "none")
        _add(figure, chart, 0, 0)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True)
    text = file.getvalue()
    text = text[text.index(">", text.index("<svg")) + 1 :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r' clip-path="[^"]*"', "", text)
    text = re.sub(r'<g id="tip:([^"]*)">', r"<g><title>\1</title>", text)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    # Fonts are the page's; matplotlib's own only measured the text.
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 system-ui, sans-serif", text)
    for role, colour in LIGHT.items():
        text = text.replace(colour, f"var(--{role})")
    width, height = (side * 72 / _PX_PER_INCH for side in (chart.width_px, chart.height_px))
    return (
        f'<svg role="img" aria-label="{escape(chart.label)}" viewBox="0 0 {width:g} {height:g}" '
        f'xmlns="http://www.w3.org/2000/svg">{text}'
    )
