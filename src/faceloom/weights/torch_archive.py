"""The tensors in PyTorch's zip archives (`torch.save` since 1.6, and TorchScript), and only they.

Such an archive contains a pickle, `data.pkl`, with names and shapes, and a file of raw numbers for
every tensor. TorchScript keeps its modules as objects of classes `__torch__.…`, whose program
lies in other members: here they are inert bags of attributes, and no member but the pickle and the
numbers is opened. `torch.jit.load` would compile what the file brings along.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError
from faceloom.pickles.machine import OPERATIONS, Machine
from faceloom.pickles.numpy import Builder, Global, refused
from faceloom.pickles.safe import loads

_MAX_PICKLE_BYTES = 8 << 20
_MAX_DEPTH = 40
_MAX_DIMENSIONS = 8
_STORAGES: Final[Mapping[str, str]] = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "BoolStorage": "?",
}
Arrays = dict[str, NDArray[Any]]


def read_archive(data: bytes, max_bytes: int) -> Arrays:
    """Tensors by their path of attributes, in NumPy's terms; at most `max_bytes` of numbers.

    They are read-only views on what the archive holds. Raises `FormatError` in one line when the
    archive is damaged or asks for anything else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(names) != 1:
                raise FormatError("not an archive of PyTorch's (1.6 or later)")
            info = archive.getinfo(names[0])
            if info.file_size > _MAX_PICKLE_BYTES:
                raise FormatError("damaged: its list of tensors is absurdly long")
            storages = _Storages(archive, names[0].removesuffix("data.pkl"), max_bytes)
            content = loads(
                archive.read(info),
                max_bytes=_MAX_PICKLE_BYTES,
                allow=_Globals(),
                operations={**_OPERATIONS, ord("Q"): storages.push},
            )
            arrays: Arrays = {}
            _collect(content, "", 0, arrays)
    except FormatError:
        raise
    except Exception as error:  # a damaged archive can fail in every way that Python knows
        raise FormatError(f"damaged or hostile archive: {type(error).__name__}") from None
    return arrays


# --- what the pickle may name


def _tensor(args: tuple[Any, ...]) -> NDArray[Any]:
    numbers, offset, shape, strides, *_ = args
    return _view(numbers, offset, tuple(shape), tuple(strides))


def _dictionary(args: tuple[Any, ...]) -> dict[Any, Any]:
    if args:
        raise refused("a dictionary that starts oddly")
    return {}


def _first(args: tuple[Any, ...]) -> Any:
    return args[0]


def _module(args: tuple[Any, ...]) -> dict[Any, Any]:
    """An object of TorchScript: its attributes, which come later, and no behaviour."""
    return _dictionary(args)


class _Kind:
    """A type of numbers, by the name of PyTorch's storage."""

    def __init__(self, name: str) -> None:
        self.dtype = np.dtype(_STORAGES[name])

    def __call__(self, args: tuple[Any, ...]) -> Any:
        raise refused(f"a call that tensors do not need ({len(args)} arguments)")


class _Globals(Mapping[tuple[str, str], Builder]):
    """The globals of PyTorch's archives; TorchScript's classes have names of their own."""

    _fixed: Final[Mapping[tuple[str, str], Builder]] = {
        ("collections", "OrderedDict"): _dictionary,
        ("torch._utils", "_rebuild_tensor"): _tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _first,
        **{("torch", name): _Kind(name) for name in _STORAGES},
    }

    def __getitem__(self, key: tuple[str, str]) -> Builder:
        module, name = key
        if key in self._fixed:
            return self._fixed[key]
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return _first
        if module == "__torch__" or module.startswith("__torch__."):
            return _module
        raise KeyError(key)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fixed)

    def __len__(self) -> int:
        return len(self._fixed)


# --- the other operations that are allowed


class _Storages:
    """The files of numbers in an archive, each read once."""

    def __init__(self, archive: zipfile.ZipFile, folder: str, max_bytes: int) -> None:
        self._archive, self._folder = archive, folder
        self._budget = max_bytes
        self._read: dict[str, NDArray[Any]] = {}

    def push(self, m: Machine) -> None:
        """BINPERSID: in place of (storage, type, key, device, count) its numbers."""
        pid: Any = m.stack.pop()
        if type(pid) is not tuple or len(pid) < 5 or pid[0] != "storage":
            raise FormatError("damaged: a tensor without numbers")
        _, kind, key, _, count = pid[:5]
        if not isinstance(kind, Global) or not isinstance(kind.build, _Kind):
            raise FormatError("damaged: a tensor without numbers")
        if type(key) is not str or type(count) is not int:
            raise FormatError("damaged: a tensor without numbers")
        if key not in self._read:
            info = self._archive.getinfo(f"{self._folder}data/{key}")
            self._budget -= info.file_size
            if self._budget < 0:
                raise FormatError("it unpacks to more than any network that is known")
            self._read[key] = np.frombuffer(self._archive.read(info), kind.build.dtype)
        if self._read[key].size < count:
            raise FormatError("damaged: a tensor with too few numbers")
        m.stack.append(self._read[key])


def _op_new_object(m: Machine) -> None:
    args, kind = m.stack.pop(), m.stack.pop()
    if not isinstance(kind, Global) or kind.build is not _module or type(args) is not tuple:
        raise refused("an object of an unknown kind")
    m.stack.append(_module(args))


def _op_build(m: Machine) -> None:
    """Attributes of a module, or what PyTorch notes with a dictionary of tensors."""
    state, target = m.stack.pop(), m.stack[-1]
    if type(target) is not dict:
        raise refused("an object of an unknown kind")
    if type(state) is dict:
        target.update(state)


_OPERATIONS: Final = {**OPERATIONS, 0x81: _op_new_object, ord("b"): _op_build}


def _view(
    numbers: object, offset: object, shape: tuple[Any, ...], strides: tuple[Any, ...]
) -> NDArray[Any]:
    """A tensor's numbers in its shape; nothing outside of its storage is touched."""
    whole = (*shape, *strides, offset)
    if not isinstance(numbers, np.ndarray) or any(
        type(value) is not int or value < 0 for value in whole
    ):
        raise FormatError("damaged: a tensor of an impossible shape")
    assert isinstance(offset, int)
    if len(shape) > _MAX_DIMENSIONS:
        raise FormatError("damaged: a tensor of an impossible shape")
    count = int(np.prod(shape, dtype=object)) if shape else 1
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if count > numbers.size or (count and last >= numbers.size):
        raise FormatError("damaged: a tensor of an impossible shape")
    if not count:
        return np.empty(shape, numbers.dtype)
    steps = tuple(step * numbers.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)


def _collect(value: object, name: str, depth: int, into: Arrays) -> None:
    """Gather the tensors below `value`, named by the way to them."""
    if depth > _MAX_DEPTH:
        raise FormatError("damaged: nested too deep")
    if isinstance(value, np.ndarray):
        into[name] = value
    elif isinstance(value, dict):
        for key, item in value.items():
            _collect(item, f"{name}.{key}" if name else str(key), depth + 1, into)
