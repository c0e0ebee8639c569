"""The losses of every iteration: 4 bytes each, appended at each save."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

_VALUE = np.dtype("<f4")


class LossHistory:
    """Losses by iteration, float32, one column per loss (src and dst); lost rows are NaN."""

    def __init__(self, values: ArrayLike = (), *, columns: int = 2) -> None:
        rows = np.asarray(values, _VALUE).reshape(-1, columns)
        self._rows = rows.copy()
        self._length = len(rows)

    def __len__(self) -> int:
        return self._length

    @property
    def columns(self) -> int:
        """Losses per iteration."""
        return self._rows.shape[1]

    @property
    def values(self) -> NDArray[np.float32]:
        """The losses of iterations 1 … n, (n, columns)."""
        return self._rows[: self._length]

    def recent(self, count: int) -> NDArray[np.float64]:
        """Mean of each column over the known ones of the last `count` losses; NaN without any."""
        last = self.values[-count:].astype(np.float64)
        known = last[np.isfinite(last).all(1)]
        return known.mean(0) if len(known) else np.full(self.columns, np.nan)

    def extend(self, rows: ArrayLike) -> None:
        """Append (k, columns) losses."""
        new = np.asarray(rows, _VALUE).reshape(-1, self.columns)
        wanted = self._length + len(new)
        if wanted > len(self._rows):
            grown = np.empty((max(wanted, 2 * len(self._rows), 256), self.columns), _VALUE)
            grown[: self._length] = self.values
            self._rows = grown
        self._rows[self._length : wanted] = new
        self._length = wanted

    def write(self, path: Path) -> None:
        """Update the file to this history, writing only what is missing.

        Written rows never change, and the reader knows how many rows are valid. A kill during the
        write therefore leaves at most extra rows, which the next write replaces.
        """
        row_bytes = self.columns * _VALUE.itemsize
        present = path.stat().st_size // row_bytes if path.exists() else 0
        first = min(present, self._length)
        # The last rows may come from a run that was killed before its state was saved.
        with path.open("r+b" if path.exists() else "w+b") as file:
            first = _common(file.read(first * row_bytes), self.values[:first])
            file.seek(first * row_bytes)
            file.write(self.values[first:].astype(_VALUE).tobytes())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def read_history(path: Path, length: int, *, columns: int = 2) -> LossHistory:
    """The first `length` rows of a history file; rows that are missing are NaN."""
    data = path.read_bytes() if path.exists() else b""
    row_bytes = columns * _VALUE.itemsize
    rows = np.frombuffer(data[: len(data) // row_bytes * row_bytes], _VALUE).reshape(-1, columns)
    full = np.full((length, columns), np.nan, _VALUE)
    full[: len(rows)] = rows[:length]
    return LossHistory(full, columns=columns)


def _common(data: bytes, rows: NDArray[np.float32]) -> int:
    """How many leading rows the file has in common with `rows`."""
    stored = np.frombuffer(data, _VALUE).reshape(rows.shape)
    differ = (stored.view("<u4") != rows.view("<u4")).any(1)
    return int(differ.argmax()) if differ.any() else len(stored)
