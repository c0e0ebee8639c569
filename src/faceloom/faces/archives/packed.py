"""A packed faceset among the loose files of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from faceloom.core import FaceloomError, FormatError
from faceloom.core.paths import IMAGE_SUFFIXES
from faceloom.faces.archives.pack import folder_pack, open_pack
from faceloom.faces.index.store import Stamp


def with_packed(folder: Path, loose: Mapping[str, Stamp]) -> dict[str, Stamp]:
    """The loose files' stamps with those of the folder's pack, in the order of the names.

    A packed picture is called `faceset.pak/name`, or `faceset.pak/person/name`. A loose file of
    the same name stands before it, as the newer one. A damaged pack is left out where there are
    loose files, and raises `FormatError` where there are none.
    """
    path = folder_pack(folder)
    if path is None:
        return dict(loose)
    try:
        pack = open_pack(path)
    except FormatError:
        if loose:
            return dict(loose)
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


def packed_trouble(folder: Path) -> tuple[Path, str] | None:
    """(the folder's pack, why it cannot be read); None when there is none or it can."""
    path = folder_pack(folder)
    if path is None:
        return None
    try:
        open_pack(path)
    except FaceloomError as error:
        return path, str(error).removeprefix(f"{path}: ")
    return None
