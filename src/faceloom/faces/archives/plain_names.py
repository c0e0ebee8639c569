"""Names from foreign files that may become file names here."""

from __future__ import annotations

from pathlib import PureWindowsPath
from typing import TypeGuard

# Less than file systems allow, so that a temporary file's prefix still fits.
_MAX_BYTES = 240
_MAX_SHOWN = 60


def is_plain_name(name: object) -> TypeGuard[str]:
    """Whether `name` is text that names a file in its folder and nothing else, on any system.

    No path, no drive, no control characters, no hidden file (such as the index and temporary
    files), no Windows device.
    """
    if type(name) is not str or not name or name.startswith(".") or name != name.strip():
        return False
    if set(name) & set('/\\:*?"<>|') or not name.isprintable():
        return False
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return False
    return length <= _MAX_BYTES and not PureWindowsPath(name).is_reserved()


def shown(name: object) -> str:
    """A foreign name for an error message: short, on one line."""
    text = repr(name)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
