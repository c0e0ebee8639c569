"""Locks between processes: the operating system's, so that they end with their holder."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def file_lock(path: Path, *, wait: bool) -> Generator[bool]:
    """Hold `path` (made when missing) against other processes; yield whether we have it.

    With `wait` it is waited for. However the holder ends, the lock is free again; the file stays.
    On a file system without locks it is always had: better unguarded than unusable.
    """
    with path.open("a+b") as handle:
        if sys.platform == "win32":
            import msvcrt

            handle.seek(0)
            try:
                msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:
                yield False
                return
            try:
                yield True
            finally:
                handle.seek(0)
                msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            except OSError:
                yield True
                return
            yield True
