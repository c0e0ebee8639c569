"""SHA-256 of footage, remembered by path, size and time of change."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any, cast

from faceloom.core.errors import InputError
from faceloom.core.paths import atomic_write
from faceloom.provenance.state import STATE_DIR, state_folder


class HashCache:
    """Hashes of files; kept in `.faceloom/hashes.json`, which may be deleted at any time."""

    def __init__(self, workspace_dir: Path) -> None:
        self._file = workspace_dir / STATE_DIR / "hashes.json"
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            content: Any = json.loads(self._file.read_bytes())
            if isinstance(content, dict):
                self._known = cast("dict[str, list[Any]]", content)

    def knows(self, file: Path) -> bool:
        """Whether the hash is at hand for the file as it is now."""
        entry = self._known.get(_key(file))
        return isinstance(entry, list) and len(entry) == 3 and entry[:2] == _stamp(file)

    def sha256(self, file: Path) -> str:
        """The file's SHA-256 (hex). Raises `InputError` when it cannot be read."""
        if self.knows(file):
            return str(self._known[_key(file)][2])
        stamp = _stamp(file)
        digest = file_sha256(file)
        self._known[_key(file)] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write the cache; a workspace that cannot be written to does without."""
        if self._changed:
            with contextlib.suppress(OSError):
                state_folder(self._file.parent.parent)
                atomic_write(self._file, json.dumps(self._known), durable=False)
            self._changed = False


def file_sha256(file: Path) -> str:
    """SHA-256 (hex) of a file's content. Raises `InputError` when it cannot be read."""
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None


def _key(file: Path) -> str:
    return str(file.resolve())


def _stamp(file: Path) -> list[int]:
    try:
        status = file.stat()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    return [status.st_size, status.st_mtime_ns]
