"""The identities of the persons that an extraction has seen, to know them by again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

MOST_VECTORS: Final = 24
"""Identities kept of a person."""
_LENGTH: Final = 128
_ROOM: Final = 256


class Gallery:
    """Unit vectors of persons 0, 1, 2 …, in one table: a film may have thousands of passers-by,
    and each new track is compared with all of them."""

    def __init__(self) -> None:
        self._rows: list[list[int]] = []
        self._table = np.zeros((_ROOM, _LENGTH), np.float32)
        self._owner = np.zeros(_ROOM, np.intp)
        self._used = 0

    def __len__(self) -> int:
        """How many persons there are."""
        return len(self._rows)

    def add(self, person: int, vectors: Sequence[Vector]) -> None:
        """Keep `vectors` (128 each) of a person, the next new one at most, as far as there is room
        for them. Raises `ValueError` for a person beyond that."""
        if not 0 <= person <= len(self._rows):
            raise ValueError("persons are numbered one after the other")
        if person == len(self._rows):
            self._rows.append([])
        rows = self._rows[person]
        for vector in vectors[: MOST_VECTORS - len(rows)]:
            if self._used == len(self._table):
                self._table = np.concatenate([self._table, np.zeros_like(self._table)])
                self._owner = np.concatenate([self._owner, np.zeros_like(self._owner)])
            self._table[self._used], self._owner[self._used] = vector, person
            rows.append(self._used)
            self._used += 1

    def of(self, person: int) -> list[Vector]:
        """The vectors kept of a person, none of one who is not there."""
        return [] if person >= len(self._rows) else list(self._table[self._rows[person]])

    def likeness(self, vectors: Sequence[Vector]) -> NDArray[np.float32]:
        """For each person the mean, over `vectors`, of the cosine with the likest of the person's;
        -1 where either has none."""
        found = np.full((len(self._rows), max(1, len(vectors))), -1, np.float32)
        if len(vectors) and self._used:
            cosines = self._table[: self._used] @ np.stack(vectors).T
            np.maximum.at(found, self._owner[: self._used], cosines)
        return found.mean(axis=1)
