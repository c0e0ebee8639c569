"""The workspace's `.faceloom` folder: the signing key, caches and locks."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

from faceloom.core import atomic_write, file_lock

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
    with file_lock(state_folder(workspace_dir) / f"{name}.lock", wait=True):
        yield
