"""Keeping freed memory in the process, which speeds up training on a CPU."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Generator

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULT_TRIM_BYTES, _DEFAULT_MMAPS = 128 * 1024, 65536
_NEVER_TRIM = 2**31 - 1


@contextlib.contextmanager
def kept_memory() -> Generator[None]:
    """Keep freed memory in the process inside the block; return it to the system afterwards.

    glibc returns large blocks to the kernel when they are freed, and each training step then waits
    for the same pages again, zeroed: about a tenth of its time. The setting applies to the whole
    process; use it around a training loop on a CPU. Does nothing without glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, _NEVER_TRIM)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_MAX, _DEFAULT_MMAPS)
        libc.mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM_BYTES)
        libc.malloc_trim(0)
