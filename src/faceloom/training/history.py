"""The losses of every iteration: 8 bytes each, appended to at each save."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROW = np.dtype("<f4")
_ROW_BYTES = 8


class LossHistory:
    """(src, dst) losses by iteration, float32; rows that were lost are NaN."""

    def __init__(self, values: ArrayLike = ()) -> None:
        rows = np.asarray(values, _ROW).reshape(-1, 2)
        self._rows = rows.copy()
        self._length = len(rows)

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> NDArray[np.float32]:
        """(n, 2): the losses of iterations 1 … n."""
        return self._rows[: self._length]

    def extend(self, rows: ArrayLike) -> None:
        """Append (k, 2) losses."""
        new = np.asarray(rows, _ROW).reshape(-1, 2)
        wanted = self._length + len(new)
        if wanted > len(self._rows):
            grown = np.empty((max(wanted, 2 * len(self._rows), 256), 2), _ROW)
            grown[: self._length] = self.values
            self._rows = grown
        self._rows[self._length : wanted] = new
        self._length = wanted

    def write(self, path: Path) -> None:
        """Bring the file up to this history, writing only what it lacks.

        Rows once written never change, and whoever reads knows how many rows count. So a kill on
        the way leaves at most rows too many, which the next write replaces.
        """
        present = path.stat().st_size // _ROW_BYTES if path.exists() else 0
        first = min(present, self._length)
        # The last rows may stem from a run that was killed before its state was saved.
        with path.open("r+b" if path.exists() else "w+b") as file:
            first = _common(file.read(first * _ROW_BYTES), self.values[:first])
            file.seek(first * _ROW_BYTES)
            file.write(self.values[first:].astype(_ROW).tobytes())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def read_history(path: Path, length: int) -> LossHistory:
    """The first `length` rows of a history file; rows that are missing are NaN."""
    data = path.read_bytes() if path.exists() else b""
    rows = np.frombuffer(data[: len(data) // _ROW_BYTES * _ROW_BYTES], _ROW).reshape(-1, 2)
    full = np.full((length, 2), np.nan, _ROW)
    full[: len(rows)] = rows[:length]
    return LossHistory(full)


def _common(data: bytes, rows: NDArray[np.float32]) -> int:
    """How many leading rows the file shares with `rows`."""
    stored = np.frombuffer(data, _ROW).reshape(-1, 2)
    differ = (stored.view("<u4") != rows.view("<u4")).any(1)
    return int(differ.argmax()) if differ.any() else len(stored)
