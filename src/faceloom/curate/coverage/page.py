"""The comparison as one HTML file that needs nothing else: charts, gaps, and faces in want."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import MediaError
from faceloom.curate.coverage.advice import LEFT_AND_RIGHT, Advice, Gap, percent
from faceloom.curate.coverage.chart import pose_maps, small_charts
from faceloom.curate.coverage.compare import PITCH_EDGES_DEG, YAW_EDGES_DEG, Coverage
from faceloom.curate.coverage.drawing import DARK, LIGHT, css_colours, to_svg

_THUMB_QUALITY = 80
_STYLE = """
:root{color-scheme:light dark;LIGHT}
@media(prefers-color-scheme:dark){:root{DARK}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"Liberation Sans",sans-serif}
main{max-width:1236px;margin:0 auto;padding:28px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .4em}
h2{font-size:1.25rem;margin:2em 0 .6em}
p{margin:.3em 0;max-width:75ch}
.note{color:var(--faint)}
.maps,.charts{display:grid;gap:24px;align-items:start}
.maps{grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr))}
.charts{grid-template-columns:repeat(auto-fit,minmax(min(100%,260px),1fr))}
svg{width:100%;height:auto;display:block;overflow:visible;font-family:inherit}
ol.gaps{padding-left:1.6em;margin:0}
ol.gaps>li{padding:.9em 0;border-bottom:1px solid var(--rule)}
.share{font-weight:700;font-variant-numeric:tabular-nums}
.faces{display:flex;flex-wrap:wrap;gap:8px;margin-top:.6em}
figure{margin:0;width:96px}
figure img{width:96px;height:96px;border-radius:6px;display:block;background:var(--rule)}
figcaption{font-size:.7rem;line-height:1.25;color:var(--faint);overflow-wrap:anywhere}
details{margin-top:1em}
summary{cursor:pointer;color:var(--faint)}
summary:focus-visible,.scroll:focus-visible{outline:3px solid var(--src);outline-offset:2px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.8rem;font-variant-numeric:tabular-nums}
th,td{padding:3px 7px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
ul.names{columns:auto 14em;font-size:.85rem;padding-left:1.2em}
"""
_CAPTIONS = {"src": "src's faces", "dst": "dst's faces", "need": "dst's faces without src"}


def page(
    coverage: Coverage,
    advice: Advice,
    *,
    title: str,
    thumbs: Sequence[Sequence[tuple[str, NDArray[np.uint8]]]],
    useless: Sequence[str],
) -> str:
    """The page's HTML.

    thumbs: for each of `advice.gaps`, (caption, picture h w 3 RGB uint8) of dst faces in want.
    useless: file names of src faces that serve no dst face.
    """
    style = _STYLE.replace("LIGHT", css_colours(LIGHT)).replace("DARK", css_colours(DARK))
    summary = "".join(f"<p>{_text(line)}</p>" for line in advice.summary)
    maps = "".join(f"<div>{to_svg(part)}</div>" for part in pose_maps(coverage))
    charts = "".join(f"<div>{to_svg(part)}</div>" for part in small_charts(coverage))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{summary}"
        f'<h2 id="poses">Head poses</h2><div class="maps">{maps}</div>{_tables(coverage)}'
        f"{_gaps(advice, thumbs)}"
        '<h2 id="measures">Everything else</h2>'
        '<p class="note">Blue, filled: src. Orange line: dst.</p>'
        f'<div class="charts">{charts}</div>'
        f"{_useless(useless)}</main></body></html>\n"
    )


def _gaps(advice: Advice, thumbs: Sequence[Sequence[tuple[str, NDArray[np.uint8]]]]) -> str:
    heading = '<h2 id="gaps">What dst shows and src lacks</h2>'
    if not advice.gaps:
        return f"{heading}<p>Nothing that more than a few faces share.</p>"
    items = "".join(_gap(gap, pictures) for gap, pictures in zip(advice.gaps, thumbs, strict=True))
    scattered = ""
    if advice.scattered:
        scattered = f"<p>{_text(advice.scattered_words())}</p>"
    return (
        f'{heading}<p class="note">Most needed first. {LEFT_AND_RIGHT}</p>'
        f'<ol class="gaps">{items}</ol>{scattered}'
    )


def _gap(gap: Gap, pictures: Sequence[tuple[str, NDArray[np.uint8]]]) -> str:
    faces = "".join(_figure(caption, picture) for caption, picture in pictures)
    shown = f'<div class="faces">{faces}</div>' if faces else ""
    return (
        f'<li><p><span class="share">{_text(percent(gap.share))}</span>: {_text(gap.finding)}</p>'
        f"<p>Look for: {_text(gap.shot)}</p>{shown}</li>"
    )


def _text(words: str) -> str:
    """Words for the page; a number and its sign stay on one line."""
    return escape(words).replace(" %", "&nbsp;%")


def _figure(caption: str, picture: NDArray[np.uint8]) -> str:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _THUMB_QUALITY])
    if not done:
        raise MediaError(f"{caption}: a thumbnail of {picture.shape} pixels cannot be encoded")
    text = base64.b64encode(data.tobytes()).decode()
    return (
        f'<figure><img src="data:image/jpeg;base64,{text}" alt="dst face {escape(caption)}" '
        f'width="96" height="96"><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _tables(coverage: Coverage) -> str:
    """The heat maps as tables, for those who read them or want the numbers."""
    tables = "".join(_table(coverage.grids[name], text) for name, text in _CAPTIONS.items())
    return (
        "<details><summary>The same as tables</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Tables of head poses">{tables}'
        "</div></details>"
    )


def _table(counts: NDArray[np.intp], caption: str) -> str:
    rows = np.flatnonzero(counts.any(1))
    columns = np.flatnonzero(counts.any(0))
    if not len(rows):
        return f"<p>{escape(caption)}: none.</p>"
    yaw, pitch = YAW_EDGES_DEG[::-1] - 5, PITCH_EDGES_DEG[::-1] - 5
    head = "".join(f'<th scope="col">{_side(float(yaw[j]), "left", "right")}</th>' for j in columns)
    body = "".join(
        f'<tr><th scope="row">{_side(float(pitch[i]), "up", "down")}</th>'
        + "".join(f"<td>{counts[i, j] or ''}</td>" for j in columns)
        + "</tr>"
        for i in rows
    )
    return (
        f"<table><caption>{escape(caption)}, cells of 10 degrees by their centres</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _side(centre: float, positive: str, negative: str) -> str:
    return f"{abs(centre):.0f}° {positive if centre > 0 else negative}"


def _useless(names: Sequence[str]) -> str:
    if not names:
        return ""
    items = "".join(f"<li>{escape(name)}</li>" for name in names)
    return (
        '<h2 id="useless">src faces of no use</h2>'
        f"<p>{len(names)} faces of src look where no dst face does.</p>"
        f'<details><summary>Their names</summary><ul class="names">{items}</ul></details>'
    )
