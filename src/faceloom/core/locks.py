"""Locks between processes. The operating system releases them when their holder ends."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Generator
from pathlib import Path
from typing import Final

# How file systems without locks refuse one.
_NO_LOCKS: Final = frozenset(
    {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
)


@contextlib.contextmanager
def file_lock(path: Path, *, wait: bool) -> Generator[bool]:
    """Lock `path` (created if missing) against other processes; yield whether that succeeded.

    With `wait` it blocks until the lock is free. The file stays after the lock is released. On a
    file system without locks it succeeds always: better unguarded than unusable. Raises `OSError`
    when the file cannot be opened or is a symbolic link.
    """
    # Here rather than above: half of what a configuration's import would take.
    from filelock import FileLock, Timeout

    path.parent.stat()  # FileLock would create a missing folder
    lock = FileLock(
        path,
        timeout=-1 if wait else 0,
        thread_local=False,
        fallback_to_soft=False,
        preserve_lock_file=True,
    )
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield True
    finally:
        lock.release()
