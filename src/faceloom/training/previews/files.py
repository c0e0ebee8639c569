"""Previews on disk: the latest, the history, and a page that shows the latest live."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import atomic_write
from faceloom.training.previews.loss_curve import draw_curve
from faceloom.training.previews.preview import Preview

Image = NDArray[np.uint8]

_QUALITY: Final = 92
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Faceloom preview</title>
<style>
body { background: #18191c; color: #dddfe3; font: 14px system-ui, sans-serif; margin: 16px; }
img { max-width: 100%; display: block; margin-bottom: 12px; }
select { background: #24262b; color: inherit; border: 1px solid #46494f; padding: 4px 8px; }
</style></head><body>
<p><select id="kind"><option value="last.jpg">plain</option></select></p>
<img id="preview" alt="preview"><img id="curve" alt="losses">
<script>
const box = document.getElementById("kind");
function show(id, file) {
  const fresh = new Image();
  fresh.onload = () => { document.getElementById(id).src = fresh.src; };
  fresh.src = file + "?" + Date.now();
}
function refresh() {
  show("preview", box.value);
  show("curve", "../loss.png");
}
for (const [kind, file] of [["masked", "last_masked.jpg"], ["morph", "last_morph.jpg"]]) {
  const probe = new Image();
  probe.onload = () => box.add(new Option(kind, file));
  probe.src = file + "?" + Date.now();
}
box.onchange = refresh;
refresh();
setInterval(refresh, 2000);
</script></body></html>
"""


def write_preview(folder: Path, preview: Preview, *, iteration: int, history: bool) -> None:
    """Replace `last.jpg`, `last_masked.jpg` …; with `history`, also keep them by iteration."""
    for kind, image in preview.pictures.items():
        suffix = "" if kind == "plain" else f"_{kind}"
        data = _jpeg(image)
        atomic_write(_made(folder) / f"last{suffix}.jpg", data, durable=False)
        if history:
            atomic_write(_made(folder / kind) / f"{iteration:08d}.jpg", data, durable=False)


def write_page(folder: Path) -> Path:
    """Write the page that shows the latest preview and reloads itself; return its path."""
    page = _made(folder) / "index.html"
    atomic_write(page, _PAGE, durable=False)
    return page


def write_curve(path: Path, losses: NDArray[np.float32], names: Sequence[str]) -> None:
    """Write the loss curve as PNG: losses (n, columns) and the names of the columns."""
    bgr = cv2.cvtColor(draw_curve(losses, names), cv2.COLOR_RGB2BGR)
    atomic_write(path, cv2.imencode(".png", bgr)[1].tobytes(), durable=False)


def last_kept(folder: Path) -> int:
    """The iteration of the newest preview in the history; 0 if there is none."""
    kept = [int(file.stem) for file in (folder / "plain").glob("*.jpg") if file.stem.isdigit()]
    return max(kept, default=0)


def _jpeg(image: Image) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
