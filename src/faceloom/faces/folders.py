"""Names of the folders next to a faceset, such as `aligned_trash`."""

from __future__ import annotations

from typing import Final

COPIES: Final = (
    "debug",
    "enhanced",
    "landmarks",
    "masks",
    "old",
    "original",
    "redone",
    "resized",
    "xseg",
)
"""Endings of folders with copies of the faceset's faces, faces of an earlier extraction, or faces
that were replaced."""
MOVED: Final = ("duplicates", "trash")
"""Endings of folders for faces that were moved out of the faceset. Faces grouped by person are in
other folders next to it."""
