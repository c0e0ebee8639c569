"""The pictures of a faceset's folder, and by what a changed one is known."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from faceloom.core import InputError
from faceloom.core.paths import IMAGE_SUFFIXES
from faceloom.faces.archives.packed import with_packed
from faceloom.faces.index.store import Stamp

FRESH_NS: Final = 3_000_000_000
"""A file written this shortly ago may be written again without its time stamp changing."""


def list_stamps(folder: Path) -> dict[str, Stamp]:
    """The pictures of the folder with their stamps, sorted by name; `InputError` without it.

    With those of a pack in the folder, as `faceloom.faces.archives.packed` names them.
    """
    found: list[tuple[str, os.stat_result]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if (
                    os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122
                    and not entry.name.startswith(".")
                    and entry.is_file()
                ):
                    # Another tool may just move it away.
                    with contextlib.suppress(FileNotFoundError):
                        found.append((entry.name, entry.stat()))
    except OSError as error:
        raise InputError(f"{folder}: no faceset there: {error.strerror or error}") from None
    found.sort(key=lambda item: item[0])
    loose = {name: Stamp(stat.st_size, stat.st_mtime_ns) for name, stat in found}
    return with_packed(folder, loose)


def settled(stamps: Mapping[str, Stamp], now_ns: int | None = None) -> dict[str, Stamp]:
    """Those that can be trusted: a change made after them would have altered the stamp."""
    limit = (time.time_ns() if now_ns is None else now_ns) - FRESH_NS
    return {name: stamp for name, stamp in stamps.items() if stamp.mtime_ns < limit}
