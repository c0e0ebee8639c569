"""What the folders beside a faceset are called: `aligned_trash` and the like (pipeline.md 1.1)."""

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
"""Endings of folders whose faces, if any, are copies of those in the faceset, an earlier
extraction's, or replaced by new ones."""
MOVED: Final = ("duplicates", "trash")
"""Endings of folders whose faces were moved there out of the faceset. Groups of faces that were
moved by the names of their persons lie beside it as well."""
