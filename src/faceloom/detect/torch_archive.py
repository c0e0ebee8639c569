"""The tensors in PyTorch's zip archives (`torch.save` since 1.6, and TorchScript), and only they.

Such an archive is a pickle, `data.pkl`, that tells names and shapes, beside a file of raw numbers
for every tensor. TorchScript keeps its modules as objects of classes `__torch__.…`, whose program
lies in other members: here they are inert bags of attributes, and no member but the pickle and the
numbers is opened. `torch.jit.load` would compile what the file brings along.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError

_MAX_PICKLE_BYTES = 8 << 20
_MAX_DEPTH = 40
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

    Raises `FormatError` in one line when the archive is damaged or asks for anything else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(names) != 1:
                raise FormatError("not an archive of PyTorch's (1.6 or later)")
            info = archive.getinfo(names[0])
            if info.file_size > _MAX_PICKLE_BYTES:
                raise FormatError("damaged: its list of tensors is absurdly long")
            reader = _reader(archive, names[0].removesuffix("data.pkl"), max_bytes)
            content = reader(io.BytesIO(archive.read(info))).load()
            arrays: Arrays = {}
            _collect(content, "", 0, arrays)
    except FormatError:
        raise
    except Exception as error:  # a damaged pickle can fail in every way that Python knows
        raise FormatError(f"damaged or hostile archive: {type(error).__name__}") from None
    return arrays


def _reader(archive: zipfile.ZipFile, folder: str, max_bytes: int) -> type[pickle.Unpickler]:
    """A class made anew for every file, so that nothing a pickle does to it outlives the file."""
    storages: dict[str, NDArray[Any]] = {}
    budget = [max_bytes]

    class Node:
        """A module of TorchScript: its attributes, no behaviour."""

        state: Any = None

        def __setstate__(self, state: object) -> None:
            self.state = state

    class Kind:
        """A type of numbers, by the name of PyTorch's storage."""

        def __init__(self, name: str) -> None:
            self.name = name

    def storage(kind: object, key: object, count: object) -> NDArray[Any]:
        if not isinstance(kind, Kind) or not isinstance(key, str) or not isinstance(count, int):
            raise FormatError("damaged: a tensor without numbers")
        if key not in storages:
            info = archive.getinfo(f"{folder}data/{key}")
            budget[0] -= info.file_size
            if budget[0] < 0:
                raise FormatError("it unpacks to more than any network that is known")
            storages[key] = np.frombuffer(archive.read(info), _STORAGES[kind.name])
        if storages[key].size < count:
            raise FormatError("damaged: a tensor with too few numbers")
        return storages[key]

    def tensor(numbers: Any, offset: int, shape: Any, strides: Any, *_: object) -> NDArray[Any]:
        return _view(numbers, offset, tuple(shape), tuple(strides))

    def parameter(value: Any, *_: object) -> Any:
        return value

    def values(items: Any) -> list[Any]:
        return list(items)

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str, /) -> Any:
            if module == "torch" and name in _STORAGES:
                return Kind(name)
            if (module, name) == ("collections", "OrderedDict"):
                return dict
            if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
                return tensor
            if (module, name) == ("torch._utils", "_rebuild_parameter"):
                return parameter
            if module == "torch.jit._pickle" and name.startswith("build_"):
                return values
            if module == "__torch__" or module.startswith("__torch__."):
                return Node
            raise FormatError(f"it asks for {module:.60}.{name:.60}, which tensors do not need")

        def persistent_load(self, pid: Any, /) -> Any:
            if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
                raise FormatError("damaged: a tensor without numbers")
            return storage(pid[1], pid[2], pid[4])

    return Reader


def _view(
    numbers: object, offset: object, shape: tuple[Any, ...], strides: tuple[Any, ...]
) -> NDArray[Any]:
    """A tensor's numbers in its shape, copied; nothing outside of its storage is touched."""
    whole = (*shape, *strides, offset)
    if not isinstance(numbers, np.ndarray) or any(
        type(value) is not int or value < 0 for value in whole
    ):
        raise FormatError("damaged: a tensor of an impossible shape")
    assert isinstance(offset, int)
    count = int(np.prod(shape, dtype=object)) if shape else 1
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if count > numbers.size or (count and last >= numbers.size) or len(shape) > 8:
        raise FormatError("damaged: a tensor of an impossible shape")
    if not count:
        return np.empty(shape, numbers.dtype)
    steps = tuple(step * numbers.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False).copy()


def _collect(value: object, name: str, depth: int, into: Arrays) -> None:
    """Gather the tensors below `value`, named by the way to them."""
    if depth > _MAX_DEPTH:
        raise FormatError("damaged: nested too deep")
    if isinstance(value, np.ndarray):
        into[name] = value
        return
    state = getattr(value, "state", None) if not isinstance(value, dict) else value
    if isinstance(state, dict):
        for key, item in state.items():
            _collect(item, f"{name}.{key}" if name else str(key), depth + 1, into)
