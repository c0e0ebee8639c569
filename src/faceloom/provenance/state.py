"""The workspace's `.faceloom` folder: locks, and hashes of footage."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

from faceloom.core import atomic_write, file_lock
from faceloom.core.errors import InputError

STATE_DIR = ".faceloom"


def state_folder(workspace_dir: Path) -> Path:
    """`.faceloom`, created if missing: private to the user and ignored by git."""
    folder = workspace_dir / STATE_DIR
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        # The signing key must not be committed with the rest of a workspace.
        atomic_write(ignore, "*\n", durable=False)
    return folder


@contextlib.contextmanager
def locked(workspace_dir: Path, name: str) -> Generator[None]:
    """Hold the lock `name`; the system releases it if the process dies."""
    with file_lock(state_folder(workspace_dir) / f"{name}.lock", wait=True):
        yield


class HashCache:
    """SHA-256 of files by path, size and modification time.

    Stored in `.faceloom/hashes.json`, which may be deleted at any time.
    """

    def __init__(self, workspace_dir: Path) -> None:
        self._file = workspace_dir / STATE_DIR / "hashes.json"
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            content: Any = json.loads(self._file.read_bytes())
            if isinstance(content, dict):
                self._known = cast("dict[str, list[Any]]", content)

    def knows(self, file: Path) -> bool:
        """Whether the hash of the file in its present state is known."""
        entry = self._known.get(_key(file))
        return isinstance(entry, list) and len(entry) == 3 and entry[:2] == _stamp(file)

    def sha256(self, file: Path) -> str:
        """The SHA-256 of a file (hex). Raises `InputError` if it cannot be read."""
        if self.knows(file):
            return str(self._known[_key(file)][2])
        stamp = _stamp(file)
        digest = file_sha256(file)
        self._known[_key(file)] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write the cache, unless the workspace is read-only."""
        if self._changed:
            with contextlib.suppress(OSError):
                state_folder(self._file.parent.parent)
                atomic_write(self._file, json.dumps(self._known), durable=False)
            self._changed = False


def file_sha256(file: Path) -> str:
    """The SHA-256 of a file (hex). Raises `InputError` if it cannot be read."""
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
