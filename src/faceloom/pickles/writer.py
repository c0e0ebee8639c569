"""Writing plain data as the pickle that DFL's reader expects.

Protocol 3 with NumPy's globals under their old name `numpy.core`, whatever the versions of Python
and NumPy here: any Python from 3.6 with any NumPy can read it. Byte for byte what CPython's pickler
writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO, TypeVar

import numpy as np

from faceloom.core import FormatError

T = TypeVar("T")

_LARGE = 1 << 16
# CPython's pickler writes this many items per batch; readers need not hold more of a stream.
_BATCH = 1000


@dataclass(frozen=True)
class Called:
    """A global called with one number: a member of an enumeration."""

    module: str
    name: str
    value: int


class _Writer:
    """The bytes so far, and which values were written and can be referred to."""

    __slots__ = ("file", "memo", "out", "puts")

    def __init__(self, protocol: int = 3, file: BinaryIO | None = None) -> None:
        self.out = bytearray((0x80, protocol))
        self.file = file
        self.memo: dict[tuple[str, Any], int] = {}
        self.puts = 0

    def put(self, key: tuple[str, Any] | None = None) -> None:
        """Memoize the value just written; `key` refers to it later."""
        if self.puts < 256:
            self.out += b"q" + bytes([self.puts])
        else:
            self.out += b"r" + struct.pack("<I", self.puts)
        if key is not None:
            self.memo[key] = self.puts
        self.puts += 1

    def get(self, key: tuple[str, Any]) -> bool:
        """Refer to the value written under `key`; False if there is none."""
        number = self.memo.get(key)
        if number is None:
            return False
        self.out += b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<I", number)
        return True

    def content(self, data: bytes | memoryview) -> None:
        """Write bytes; large ones bypass the buffer if there is a file."""
        if self.file is None or len(data) < _LARGE:
            self.out += data
            return
        self.flush(self.file)
        self.file.write(data)

    def flush(self, file: BinaryIO) -> None:
        file.write(self.out)
        self.out.clear()


def dumps(value: Any) -> bytes:
    """`value` as a protocol 3 pickle.

    Takes dict (text or number keys), list, tuple, str, bytes, int, float, bool, None and NumPy
    arrays and scalars of numbers; `FormatError` for anything else.
    """
    writer = _Writer()
    _save(writer, value)
    return bytes(writer.out + b".")


def dump_arrays(items: Iterable[tuple[str, Any]], file: BinaryIO) -> None:
    """Write a dict of names and NumPy arrays or numbers into `file`, as a protocol 4 pickle.

    Takes one item at a time and copies no large array, so `items` may be a generator. Arrays may be
    larger than 4 GB, which protocol 3 does not support.
    """
    writer = _Writer(4, file)
    writer.out += b"}"
    writer.put()
    writer.out += b"("
    for name, value in items:
        _save_text(writer, name)
        _save(writer, value)
        writer.flush(file)
    file.write(b"u.")


def dump_list(items: Iterable[Any], file: BinaryIO) -> None:
    """Write a list of any length into `file` as a protocol 4 pickle, one item at a time."""
    writer = _Writer(4, file)
    writer.out += b"]"
    writer.put()
    for batch in _batches(items):
        writer.out += b"("
        for item in batch:
            _save(writer, item)
            writer.flush(file)
        writer.out += b"e"
    file.write(writer.out + b".")


def dump_dict(items: Iterable[tuple[str, Any]], file: BinaryIO) -> None:
    """Write a dictionary of any length into `file` as a protocol 3 pickle, one item at a time."""
    writer = _Writer(3, file)
    writer.out += b"}"
    writer.put()
    for batch in _batches(items):
        writer.out += b"("
        for name, value in batch:
            _save_text(writer, name)
            _save(writer, value)
            writer.flush(file)
        writer.out += b"u"
    file.write(writer.out + b".")


def _batches(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """Runs of items, none of which is held back."""
    remaining = iter(items)
    for first in remaining:
        yield chain((first,), islice(remaining, _BATCH - 1))


def _save(w: _Writer, value: Any) -> None:
    kind = type(value)
    if kind is float:
        w.out += b"G" + struct.pack(">d", value)
    elif kind is list:
        _save_list(w, value)
    elif kind is str:
        _save_text(w, value)
    elif value is None:
        w.out += b"N"
    elif kind is bool:
        w.out += b"\x88" if value else b"\x89"
    elif kind is int:
        _save_int(w, value)
    elif kind is bytes:
        _save_bytes(w, value)
    elif kind is tuple:
        _save_tuple(w, value)
    elif kind is dict:
        _save_dict(w, value)
    elif isinstance(value, np.ndarray):
        _save_array(w, value)
    elif isinstance(value, np.generic):
        _save_scalar(w, value)
    elif isinstance(value, Called):
        _save_called(w, value)
    else:
        raise FormatError(f"a {kind.__name__} cannot be stored in face metadata")


def _save_int(w: _Writer, value: int) -> None:
    if 0 <= value < 1 << 8:
        w.out += b"K" + bytes([value])
    elif 0 <= value < 1 << 16:
        w.out += b"M" + struct.pack("<H", value)
    elif -(1 << 31) <= value < 1 << 31:
        w.out += b"J" + struct.pack("<i", value)
    else:
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        if len(raw) > 255:
            raise FormatError("a number too large to be stored in face metadata")
        w.out += b"\x8a" + bytes([len(raw)]) + raw


def _save_text(w: _Writer, value: str) -> None:
    if w.get(("text", value)):
        return
    raw = value.encode("utf-8", "surrogatepass")
    w.out += b"X" + struct.pack("<I", len(raw)) + raw
    w.put(("text", value))


def _save_bytes(w: _Writer, value: bytes | memoryview) -> None:
    length = len(value)
    if length < 256:
        w.out += b"C" + bytes([length])
    elif length < 1 << 32:
        w.out += b"B" + struct.pack("<I", length)
    elif w.file is not None:
        w.out += b"\x8e" + struct.pack("<Q", length)
    else:
        raise FormatError("content of more than 4 GB cannot be stored in face metadata")
    w.content(value)
    w.put()


def _save_list(w: _Writer, value: list[Any]) -> None:
    w.out += b"]"
    w.put()
    if len(value) == 1:
        _save(w, value[0])
        w.out += b"a"
    elif value:
        w.out += b"("
        for item in value:
            _save(w, item)
        w.out += b"e"


def _save_tuple(w: _Writer, value: tuple[Any, ...]) -> None:
    if not value:
        w.out += b")"
        return
    if len(value) > 3:
        w.out += b"("
    for item in value:
        _save(w, item)
    w.out += b"t" if len(value) > 3 else bytes([0x84 + len(value)])
    w.put()


def _save_dict(w: _Writer, value: dict[Any, Any]) -> None:
    w.out += b"}"
    w.put()
    if len(value) > 1:
        w.out += b"("
    for key, item in value.items():
        if type(key) not in (str, int):
            raise FormatError(f"key {key!r} of face metadata is neither text nor number")
        _save(w, key)
        _save(w, item)
    if value:
        w.out += b"u" if len(value) > 1 else b"s"


def _save_global(w: _Writer, module: str, name: str) -> None:
    if not w.get(("global", (module, name))):
        w.out += f"c{module}\n{name}\n".encode()
        w.put(("global", (module, name)))


def _save_called(w: _Writer, value: Called) -> None:
    key = ("called", value)
    if w.get(key):
        return
    _save_global(w, value.module, value.name)
    _save(w, (value.value,))
    w.out += b"R"
    w.put(key)


def _save_dtype(w: _Writer, dtype: np.dtype[Any]) -> None:
    code = dtype.str[1:]
    if w.get(("dtype", code)):
        return
    _save_global(w, "numpy", "dtype")
    _save(w, (code, False, True))
    w.out += b"R"
    w.put(("dtype", code))
    order = "|" if dtype.itemsize == 1 else "<"
    _save(w, (3, order, None, None, None, -1, -1, 0))
    w.out += b"b"


def _numbers(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array as little-endian numbers of a size that any reader knows."""
    if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
        raise FormatError(f"an array of {value.dtype} cannot be stored in face metadata")
    return value.astype(value.dtype.newbyteorder("<"), copy=False)


def _content(array: np.ndarray[Any, Any]) -> memoryview:
    """The array's bytes in C order, without a copy where it has that order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _save_array(w: _Writer, value: np.ndarray[Any, Any]) -> None:
    array = _numbers(value)
    _save_global(w, "numpy.core.multiarray", "_reconstruct")
    _save_global(w, "numpy", "ndarray")
    _save(w, (0,))
    _save(w, b"b")
    w.out += b"\x87"
    w.put()
    w.out += b"R"
    w.put()
    w.out += b"(K\x01"
    _save(w, array.shape)
    _save_dtype(w, array.dtype)
    w.out += b"\x89"
    _save_bytes(w, _content(array))
    w.out += b"t"
    w.put()
    w.out += b"b"


def _save_scalar(w: _Writer, value: np.generic) -> None:
    array = _numbers(np.asarray(value))
    _save_global(w, "numpy.core.multiarray", "scalar")
    _save_dtype(w, array.dtype)
    _save_bytes(w, array.tobytes())
    w.out += b"\x86"
    w.put()
    w.out += b"R"
    w.put()
