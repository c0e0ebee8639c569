"""DeepFaceLab's model files: tensors in `.npy` pickles, and `data.dat`.

DFL's `.npy` is not NumPy's format but a pickle of {tensor name: array}. These files come from
strangers, so `faceloom.pickles` reads them, which never runs code. The format is described in
docs/internals/formats.md.
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

# Twice the optimizer of the largest model that DFL's options allow on a card of 80 GB.
MAX_BYTES = 32 << 30
# `data.dat` contains the losses of every iteration, and preview samples of up to half a gigabyte.
MAX_DATA_BYTES = 2 << 30
MAX_TENSORS = 2_000
# More steps of the pickle language than any tensor takes.
_OPERATIONS_EACH = 100
_DTYPES = frozenset({"float32", "float16", "int64"})


def read_tensors(path: Path) -> Tensors:
    """The tensors in one of DFL's `.npy` files, by name, in the file's layout.

    Large arrays are read-only views of the file, which is memory-mapped. Only float32, float16 and
    int64 are accepted. Raises `ModelError` when the file is missing, `FormatError` in one line when
    it is damaged, hostile or something else.
    """
    content = _load(path, MAX_BYTES, MAX_TENSORS * _OPERATIONS_EACH)
    if not isinstance(content, dict) or len(content) > MAX_TENSORS:
        raise FormatError(f"{path}: not a DeepFaceLab tensor file")
    tensors: Tensors = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray | np.generic):
            raise FormatError(
                f"{path}: not a DeepFaceLab tensor file: {name!r:.60} is not an array"
            )
        array = np.asarray(value)
        if array.dtype.name not in _DTYPES:
            raise FormatError(f"{path}: {name:.60} has type {array.dtype}, expected floats")
        tensors[name] = array
    return tensors


def read_data(path: Path) -> dict[str, Any]:
    """The content of a `data.dat`: iteration, options, losses and more, as unchecked plain data.

    Raises as `read_tensors`.
    """
    content = _load(path, MAX_DATA_BYTES, None)
    if not isinstance(content, dict) or any(not isinstance(key, str) for key in content):
        raise FormatError(f"{path}: not a DeepFaceLab data.dat")
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

    A kill while writing changes nothing. A kill during the renames can mix old and new files, which
    DFL's layout makes unavoidable.
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
        """A `.npy` file in DFL's format; `items` are consumed one at a time."""
        self.add(name, lambda file: dump_arrays(items, file))

    def add_data(self, name: str, content: Mapping[str, Any]) -> None:
        """A `data.dat`."""
        self.add(name, lambda file: file.write(dumps(dict(content))))

    def add_text(self, name: str, text: str) -> None:
        """A UTF-8 text file."""
        self.add(name, lambda file: file.write(text.encode()))

    def commit(self) -> list[Path]:
        """Move all files into place, in the order they were added; return their paths."""
        for temporary, path in self._written:
            temporary.replace(path)
        placed = [path for _, path in self._written]
        self._written.clear()
        return placed

    def discard(self) -> None:
        """Delete what was written but not committed."""
        for temporary, _ in self._written:
            temporary.unlink(missing_ok=True)
        self._written.clear()
