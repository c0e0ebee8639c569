"""The workspace's `.faceloom` folder: the signing key, caches and locks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path

from faceloom.core.paths import atomic_write

STATE_DIR = ".faceloom"


def state_folder(workspace_dir: Path) -> Path:
    """`.faceloom`, made when missing: private to the user and ignored by git."""
    folder = workspace_dir / STATE_DIR
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        # The key must not be committed along with the rest of a workspace.
        atomic_write(ignore, "*\n", durable=False)
    return folder


@contextlib.contextmanager
def locked(workspace_dir: Path, name: str) -> Generator[None]:
    """Hold `name` against other processes; the system drops the lock when we die."""
    with (state_folder(workspace_dir) / f"{name}.lock").open("a+b") as handle:
        if sys.platform == "win32":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                handle.seek(0)
                msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
