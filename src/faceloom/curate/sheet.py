"""Contact sheets: many small captioned pictures in one, to review a faceset at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError, UsageError

_GAP_PX = 4
_TEXT_PX = 12
_LINE_PX = 15
_TITLE_PX = 18
_TITLE_HEIGHT_PX = 30
_BACK = 24
_TEXT = (225, 225, 225)
# JPEG's limit, which a larger sheet would exceed.
_MAX_SIDE_PX = 65_000


def check_sheet_name(path: Path | None) -> None:
    """`UsageError` for a sheet that is not a .png or .jpg, before any time is spent on it."""
    if path is not None and path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"{path}: the sheet must be a .png or .jpg file")


def contact_sheet(
    images: Sequence[NDArray[np.uint8]],
    captions: Sequence[str] = (),
    *,
    columns: int = 10,
    cell_px: int = 128,
    title: str = "",
) -> NDArray[np.uint8]:
    """Lay pictures out row by row and return the sheet, h w 3 RGB.

    images: n pictures, h w 3 RGB uint8 of any size; each is fitted into a square of `cell_px` and
    centred.
    captions: none, or n texts below the pictures; line breaks are kept, and lines wider than the
    cell are truncated with an ellipsis.
    columns: pictures per row; fewer pictures make a narrower sheet.

    Raises `InputError` for no pictures, pictures that are not h w 3 uint8, a wrong number of
    captions, and a sheet larger than 65,000 pixels on a side.
    """
    _check(images, captions, columns, cell_px)
    across = min(columns, len(images))
    lines = [caption.splitlines() for caption in captions] or [[]] * len(images)
    text_px = _LINE_PX * max(len(texts) for texts in lines)
    pitch_x, pitch_y = cell_px + _GAP_PX, cell_px + text_px + _GAP_PX
    rows = -(-len(images) // across)
    top = _GAP_PX + (_TITLE_HEIGHT_PX if title else 0)
    height, width = top + rows * pitch_y, _GAP_PX + across * pitch_x
    if max(height, width) > _MAX_SIDE_PX:
        raise InputError(
            f"a contact sheet of {len(images)} pictures would be {width} x {height} pixels, above "
            f"the limit of {_MAX_SIDE_PX} per side"
        )
    sheet = np.full((height, width, 3), _BACK, np.uint8)
    if title:
        _write(sheet, title, _GAP_PX, 22, _TITLE_PX, width - 2 * _GAP_PX)
    for number, (image, texts) in enumerate(zip(images, lines, strict=True)):
        x = _GAP_PX + number % across * pitch_x
        y = top + number // across * pitch_y
        _place(sheet, image, x, y, cell_px)
        for k, text in enumerate(texts):
            _write(sheet, text, x, y + cell_px + _LINE_PX * (k + 1) - 4, _TEXT_PX, cell_px)
    return sheet


def _check(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int, cell_px: int
) -> None:
    if not images:
        raise InputError("a contact sheet needs at least one picture")
    if captions and len(captions) != len(images):
        raise InputError(f"a contact sheet of {len(images)} pictures got {len(captions)} captions")
    if columns < 1 or cell_px < 8:
        raise InputError("a contact sheet needs at least one column and 8 pixels per picture")
    for number, image in enumerate(images):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise InputError(f"contact sheet: picture {number} is not h w 3 uint8")


def _place(sheet: NDArray[np.uint8], image: NDArray[np.uint8], x: int, y: int, side: int) -> None:
    """Fit `image` into the square of `side` at (x, y)."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    shrinks = scale < 1
    fitted = cv2.resize(
        image,
        (new_width, new_height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    left, upper = x + (side - new_width) // 2, y + (side - new_height) // 2
    sheet[upper : upper + new_height, left : left + new_width] = fitted


def _write(sheet: NDArray[np.uint8], text: str, x: int, y: int, size: int, room: int) -> None:
    """Write text with its baseline at y, truncated to `room` pixels.

    OpenCV's built-in font has the letters of European languages; others become question marks.
    """
    font = cast("Any", cv2).FontFace("sans")
    whole = (sheet.shape[1], sheet.shape[0])
    shown = text
    kept = len(text)
    while kept and cv2.getTextSize(whole, shown, (0, 0), font, size)[2] > room:
        kept -= 1
        shown = text[:kept].rstrip() + "…"
    cv2.putText(sheet, shown, (x, y), _TEXT, font, size)
