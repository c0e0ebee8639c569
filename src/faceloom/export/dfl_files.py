"""DFL's files on disk: tensors in `.npy` pickles, and `data.dat` (training.md 1.13 and 2.11).

A `.npy` file of DFL's is not NumPy's format but a pickle of {tensor name: array}. These files come
from strangers, so they are read by `faces.pickle_safe`, which runs nothing.
"""

from __future__ import annotations

import mmap
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError, ModelError
from faceloom.pickles.safe import loads
from faceloom.pickles.writer import dump_arrays, dumps

Array = NDArray[Any]
Tensors = dict[str, Array]

MAX_BYTES = 32 << 30
"""Twice the optimizer of the largest model that DFL's options allow on a card of 80 GB."""
MAX_DATA_BYTES = 2 << 30
"""`data.dat` holds the losses of every iteration, and preview samples of up to half a gigabyte."""
MAX_TENSORS = 2_000
_OPERATIONS_EACH = 100
"""Steps of the pickle language that one tensor takes, and then some."""
_DTYPES = frozenset({"float32", "float16", "int64"})


def read_tensors(path: Path) -> Tensors:
    """The tensors in one of DFL's `.npy` files, by name, as they lie in the file.

    Large arrays are read-only views on the file, which is mapped, not read. float32, float16 and
    int64 only. Raises `ModelError` when there is no file, `FormatError` in one line when it is
    damaged, hostile or something else.
    """
    content = _load(path, MAX_BYTES, MAX_TENSORS * _OPERATIONS_EACH)
    if not isinstance(content, dict) or len(content) > MAX_TENSORS:
        raise FormatError(f"{path}: not a file of DFL's tensors")
    tensors: Tensors = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray | np.generic):
            raise FormatError(f"{path}: not a file of DFL's tensors: {name!r:.60} is no array")
        array = np.asarray(value)
        if array.dtype.name not in _DTYPES:
            raise FormatError(f"{path}: {name:.60} is of type {array.dtype}, not of floats")
        tensors[name] = array
    return tensors


def read_data(path: Path) -> dict[str, Any]:
    """The content of a `data.dat`: iteration, options, losses and more, unchecked plain data.

    Raises as `read_tensors`.
    """
    content = _load(path, MAX_DATA_BYTES, None)
    if not isinstance(content, dict) or any(not isinstance(key, str) for key in content):
        raise FormatError(f"{path}: not a data.dat of DFL's")
    return content


def _load(path: Path, max_bytes: int, max_operations: int | None) -> Any:
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise FormatError(f"{path}: empty")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise ModelError(f"{path}: missing") from None
    try:
        return loads(mapped, max_bytes=max_bytes, max_operations=max_operations, in_place=True)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


class FileSet:
    """Files that replace older ones together: all are written first, then renamed in order.

    A kill while writing changes nothing; one in the short time of the renames can mix old and new,
    which DFL's layout does not allow to rule out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = uuid.uuid4().hex[:8]
        self._written: list[tuple[Path, Path]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Let `write` fill the file that will be `name`."""
        temporary = self._folder / f".tmp-{os.getpid()}-{self._token}-{name}"
        self._written.append((temporary, self._folder / name))
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())

    def add_tensors(self, name: str, items: Iterable[tuple[str, Any]]) -> None:
        """A `.npy` file of DFL's; `items` are asked for one at a time."""
        self.add(name, lambda file: dump_arrays(items, file))

    def add_data(self, name: str, content: Mapping[str, Any]) -> None:
        """A `data.dat`."""
        self.add(name, lambda file: file.write(dumps(dict(content))))

    def add_text(self, name: str, text: str) -> None:
        """A text in UTF-8."""
        self.add(name, lambda file: file.write(text.encode()))

    def commit(self) -> list[Path]:
        """Put all files in their places, the last added last; return these."""
        for temporary, path in self._written:
            temporary.replace(path)
        placed = [path for _, path in self._written]
        self._written.clear()
        return placed

    def discard(self) -> None:
        """Delete what was written and not committed."""
        for temporary, _ in self._written:
            temporary.unlink(missing_ok=True)
        self._written.clear()
