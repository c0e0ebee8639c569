"""A faceset as a table: a row per face, an array per measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError
from faceloom.faces import FaceRecord


@dataclass(frozen=True, eq=False)
class FaceTable:
    """The faces of one faceset with their measures, in the order of their file names."""

    folder: Path
    paths: tuple[Path, ...]
    """(n) the faces' files."""
    records: tuple[FaceRecord, ...]
    """(n) the metadata in the files."""
    columns: Mapping[str, NDArray[Any]]
    """Measure → n, or n x d. A face without a value has NaN, or zeros in whole numbers."""
    strangers: tuple[Path, ...] = ()
    """Pictures in the folder without face metadata."""

    def __len__(self) -> int:
        return len(self.paths)

    def column(self, name: str) -> NDArray[Any]:
        """A measure by name; `InputError` if the table does not have it."""
        try:
            return self.columns[name]
        except KeyError:
            known = ", ".join(sorted(self.columns))
            raise InputError(f"the faces were not measured by {name!r}; known: {known}") from None

    def take(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> FaceTable:
        """The table of some rows, in the order given."""
        index = np.asarray(rows, dtype=np.intp)
        return FaceTable(
            self.folder,
            tuple(self.paths[i] for i in index),
            tuple(self.records[i] for i in index),
            {name: column[index] for name, column in self.columns.items()},
            self.strangers,
        )
