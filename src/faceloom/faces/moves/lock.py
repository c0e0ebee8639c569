"""Holding a faceset's folder, so that no two tools change its faces at once."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Final

from faceloom.core import InputError, file_lock
from faceloom.faces.moves.journal import JOURNAL_FOLDER

EXTRACT_LOCK: Final = ".faceloom-extract.lock"
"""What an extraction holds while it writes faces (`faceloom.stages.extract.journal`)."""
_LOCK = "lock"


@contextlib.contextmanager
def held(root: Path) -> Generator[str | None]:
    """Hold the folder against other tools and extractions; yields why that failed, or None.

    Raises `InputError` where the folder cannot be written, also for any `OSError` of the body.
    """
    try:
        if (root / JOURNAL_FOLDER).is_symlink():
            yield f"its {JOURNAL_FOLDER} is a link, which none of ours is; delete it"
            return
        (root / JOURNAL_FOLDER).mkdir(exist_ok=True)
        lock = file_lock(root / JOURNAL_FOLDER / _LOCK, wait=False)
        extraction = file_lock(root / EXTRACT_LOCK, wait=False)
        with lock as ours, extraction as free:
            if not ours:
                yield "another process is moving or rewriting faces there"
            elif not free:
                yield "an extraction is writing there; wait until it has ended"
            else:
                yield None
    except OSError as error:
        where = error.filename or root
        raise InputError(f"{where}: faces cannot be changed: {error.strerror or error}") from None
