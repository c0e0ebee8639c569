"""What pickles may contain besides plain data: NumPy's numbers and arrays.

The globals of a pickle (names of functions and classes) are looked up in a table of builders and
never imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn

import numpy as np

from faceloom.core import FormatError

_MAX_DIMENSIONS = 8
# The longest dimension of an array without content.
_MAX_EMPTY = 4096

Builder = Callable[[tuple[Any, ...]], Any]
"""What an allowed global does with the arguments that the pickle calls it with."""


class Global:
    """An allowed global: inert until the pickle calls it."""

    __slots__ = ("build",)

    def __init__(self, build: Builder) -> None:
        self.build = build


class PendingDType:
    """A NumPy number type under construction."""

    __slots__ = ("value",)

    def __init__(self, value: np.dtype[Any]) -> None:
        self.value = value


class PendingArray:
    """An array whose content has not been read yet; pickles create it first."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: np.ndarray[Any, Any] | None = None


def refused(why: str) -> FormatError:
    """The error to raise on a pickle that is hostile or damaged."""
    return FormatError(f"unsafe or damaged pickle: {why}")


# --- what the allowed globals build


def _build_pending_array(args: tuple[Any, ...]) -> PendingArray:
    if len(args) != 3 or args[1] != (0,) or args[2] not in (b"b", "b"):
        raise refused("an array that starts oddly")
    return PendingArray()


def _build_dtype(args: tuple[Any, ...]) -> PendingDType:
    code = args[0] if args else None
    if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248])", code):
        raise refused("an array of something other than numbers")
    return PendingDType(np.dtype(code))


def _build_scalar(args: tuple[Any, ...]) -> Any:
    if len(args) != 2 or not isinstance(args[0], PendingDType):
        raise refused("a number without a type")
    kind, raw = args[0].value, args[1]
    if type(raw) is bytes and len(raw) == kind.itemsize:
        # A file of losses has millions of these; making an array of each takes four times as long.
        return np.frombuffer(raw, kind)[0]
    return _array(args[0], (), raw, "C")[()]


def _build_from_buffer(args: tuple[Any, ...]) -> Any:
    if len(args) != 4 or not isinstance(args[1], PendingDType) or not isinstance(args[2], tuple):
        raise refused("an array that starts oddly")
    return _array(args[1], args[2], args[0], args[3])


def _build_bytes(args: tuple[Any, ...]) -> bytes:
    if len(args) != 2 or not isinstance(args[0], str) or args[1] not in ("latin1", "latin-1"):
        raise refused("bytes in an unknown spelling")
    return args[0].encode("latin-1")


def _build_empty_bytes(args: tuple[Any, ...]) -> bytes:
    if args:
        raise refused("bytes in an unknown spelling")
    return b""


def _build_nothing(args: tuple[Any, ...]) -> NoReturn:
    raise refused(f"a call that plain data does not need ({len(args)} arguments)")


def _numpy_globals() -> dict[tuple[str, str], Builder]:
    table: dict[tuple[str, str], Builder] = {
        ("numpy", "ndarray"): _build_nothing,
        ("numpy", "dtype"): _build_dtype,
        ("_codecs", "encode"): _build_bytes,
        ("__builtin__", "bytes"): _build_empty_bytes,  # so protocol 2 spells b""
    }
    for core in ("numpy.core", "numpy._core"):
        table[(f"{core}.multiarray", "_reconstruct")] = _build_pending_array
        table[(f"{core}.multiarray", "scalar")] = _build_scalar
        table[(f"{core}.numeric", "_frombuffer")] = _build_from_buffer
    return table


FACE_GLOBALS: Final[Mapping[tuple[str, str], Builder]] = MappingProxyType(_numpy_globals())
"""(module, name) → builder, for the globals in face pictures. Packs add their enumerations."""


def _array(dtype: PendingDType, shape: tuple[Any, ...], raw: object, order: object) -> Any:
    """An array from raw bytes whose length fits the shape; a view if `raw` is a memoryview."""
    if isinstance(raw, str):
        raw = raw.encode("latin-1")
    if (
        not isinstance(raw, bytes | memoryview)
        or order not in ("C", "F")
        or len(shape) > _MAX_DIMENSIONS
    ):
        raise refused("an array that is not plain numbers")
    count = 1
    for length in shape:
        if type(length) is not int or not 0 <= length <= max(len(raw), _MAX_EMPTY):
            raise refused("an array whose shape does not fit its content")
        count *= length
    if count * dtype.value.itemsize != len(raw):
        raise refused("an array whose shape does not fit its content")
    flat = np.frombuffer(raw, dtype=dtype.value)
    if isinstance(raw, bytes):
        flat = flat.astype(dtype.value.newbyteorder("="))
    elif not dtype.value.isnative:
        raise refused("a large array in another machine's byte order")
    return flat.reshape(shape, order="F" if order == "F" else "C")


def finish_dtype(target: PendingDType, state: tuple[Any, ...]) -> None:
    if len(state) != 8 or state[0] != 3 or state[1] not in ("<", ">", "|", "="):
        raise refused("a number type that NumPy does not write")
    if state[2:5] != (None, None, None):
        raise refused("an array of something other than numbers")
    if state[1] in ("<", ">"):
        target.value = target.value.newbyteorder(state[1])


def finish_array(target: PendingArray, state: tuple[Any, ...]) -> None:
    if len(state) != 5 or state[0] != 1 or not isinstance(state[2], PendingDType):
        raise refused("an array that NumPy does not write")
    shape = state[1] if type(state[1]) is tuple else (state[1],)
    target.value = _array(state[2], shape, state[4], "F" if state[3] else "C")
