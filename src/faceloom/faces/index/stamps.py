"""The pictures of a faceset, loose and packed, with the stamps that show whether they changed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from faceloom.core import FormatError, InputError
from faceloom.core.paths import IMAGE_SUFFIXES
from faceloom.faces.archives.pack import folder_pack, open_pack
from faceloom.faces.index.store import Stamp

# A file this new may be written again without a change of its time stamp.
_FRESH_NS: Final = 3_000_000_000


def list_stamps(folder: Path) -> dict[str, Stamp]:
    """The pictures of the folder and its pack with their stamps, sorted by name.

    A packed picture is named `faceset.pak/name`, or `faceset.pak/person/name`. A loose file of the
    same name takes precedence, as the newer one. A damaged pack is ignored if there are loose
    files, and raises `FormatError` if there are none. Raises `InputError` if there is no folder.
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
                    # Another tool may be moving it away.
                    with contextlib.suppress(FileNotFoundError):
                        found.append((entry.name, entry.stat()))
    except OSError as error:
        raise InputError(f"{folder}: no faceset there: {error.strerror or error}") from None
    found.sort(key=lambda item: item[0])
    loose = {name: Stamp(stat.st_size, stat.st_mtime_ns) for name, stat in found}
    return _with_packed(folder, loose)


def _with_packed(folder: Path, loose: dict[str, Stamp]) -> dict[str, Stamp]:
    path = folder_pack(folder)
    if path is None:
        return loose
    try:
        pack = open_pack(path)
    except FormatError:
        if loose:
            return loose
        raise
    mtime_ns = pack.stamp[1]
    found = [(name, name, stamp) for name, stamp in loose.items()]
    found += [
        (name, f"{path.name}/{name}", Stamp(pack.size(row), mtime_ns))
        for row, name in enumerate(pack.names)
        if name not in loose and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
    ]
    found.sort(key=lambda entry: entry[0])
    return {name: stamp for _, name, stamp in found}


def settled(stamps: Mapping[str, Stamp], now_ns: int | None = None) -> dict[str, Stamp]:
    """The stamps old enough that any later change would have altered them."""
    limit = (time.time_ns() if now_ns is None else now_ns) - _FRESH_NS
    return {name: stamp for name, stamp in stamps.items() if stamp.mtime_ns < limit}
