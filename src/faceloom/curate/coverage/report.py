"""The comparison as one HTML file that needs no other file: charts, gaps, uncovered faces."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import MediaError
from faceloom.curate.coverage.advice import LEFT_AND_RIGHT, Advice, percent, scattered_words
from faceloom.curate.coverage.charts import DARK, LIGHT, chart_svg, pose_maps, small_charts
from faceloom.curate.coverage.comparison import PITCH_EDGES_DEG, YAW_EDGES_DEG, Coverage

Thumbs = Sequence[tuple[str, NDArray[np.uint8]]]

_THUMB_QUALITY: Final = 80
_CAPTIONS: Final = {"src": "src's faces", "dst": "dst's faces", "need": "dst's faces without src"}


def html_report(
    coverage: Coverage,
    advice: Advice,
    *,
    title: str,
    thumbs: Sequence[Thumbs],
    unused: Sequence[str],
) -> str:
    """Render the report as HTML.

    thumbs: for the first of `advice.gaps`, (file name, picture h w 3 RGB uint8) of uncovered dst
    faces. unused: file names of src faces whose head pose no dst face has.
    """
    from jinja2 import Environment
    from markupsafe import Markup, escape

    def unbroken(words: str) -> Markup:
        """A number and its percent sign stay on one line."""
        return Markup(str(escape(words)).replace(" %", "&nbsp;%"))

    environment = Environment(autoescape=True, trim_blocks=True)
    environment.filters |= {"percent": percent, "unbroken": unbroken}
    template = environment.from_string(Path(__file__).with_suffix(".html").read_text("utf-8"))
    pictures = [[(name, _jpeg(name, picture)) for name, picture in shown] for shown in thumbs]
    pictures += [[] for _ in advice.gaps[len(thumbs) :]]
    return template.render(
        title=title,
        light=LIGHT,
        dark=DARK,
        summary=advice.summary,
        maps=[Markup(chart_svg(chart)) for chart in pose_maps(coverage)],
        tables=[_table(coverage.grids[name], caption) for name, caption in _CAPTIONS.items()],
        gaps=list(zip(advice.gaps, pictures, strict=True)),
        left_and_right=LEFT_AND_RIGHT,
        scattered=scattered_words(advice.scattered) if advice.scattered else "",
        charts=[Markup(chart_svg(chart)) for chart in small_charts(coverage)],
        unused=unused,
    )


def _jpeg(name: str, picture: NDArray[np.uint8]) -> str:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _THUMB_QUALITY])
    if not done:
        raise MediaError(f"{name}: a thumbnail of {picture.shape} pixels cannot be encoded")
    return base64.b64encode(data.tobytes()).decode()


def _table(counts: NDArray[np.intp], caption: str) -> dict[str, Any]:
    """A heat map as a table, for people who cannot see it or want the numbers."""
    rows, columns = np.flatnonzero(counts.any(1)), np.flatnonzero(counts.any(0))
    yaw, pitch = YAW_EDGES_DEG[::-1] - 5, PITCH_EDGES_DEG[::-1] - 5
    return {
        "caption": caption,
        "columns": [_side(float(yaw[j]), "left", "right") for j in columns],
        "rows": [(_side(float(pitch[i]), "up", "down"), counts[i, columns].tolist()) for i in rows],
    }


def _side(centre: float, positive: str, negative: str) -> str:
    return f"{abs(centre):.0f}° {positive if centre > 0 else negative}"
