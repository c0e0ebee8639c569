"""Bounds on what is read from files that others made."""

from __future__ import annotations

from pathlib import Path

from faceloom.core import MediaError

MAX_MEGAPIXELS = 300
MAX_PICTURE_BYTES = 1 << 30


def check_size(height: int, width: int, path: Path) -> None:
    """Raise `MediaError` for pictures that would not fit in memory, or have no size."""
    if height * width > MAX_MEGAPIXELS * 1_000_000:
        raise MediaError(
            f"{path}: {width}x{height} pixels; more than {MAX_MEGAPIXELS} megapixels are refused, "
            "scale it down first"
        )
    if height < 1 or width < 1:
        raise MediaError(f"{path}: its picture has no size; the file is damaged")
