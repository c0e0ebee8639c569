"""Networks' tensors out of files that users own: DFL's `.npy`, PyTorch's `.pth` and TorchScript.

Nothing that such a file asks for is run. DFL's pickled dictionaries go through
`faces.pickle_safe`, PyTorch's archives through a reader that knows tensors and nothing else (of a
TorchScript file the program is not looked at), and PyTorch's old stacked pickles through its own
reader of plain weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import FormatError, WeightsError
from faceloom.pickles.safe import loads
from faceloom.weights.torch_archive import read_archive

MAX_BYTES: Final = 512 << 20
"""The largest of the known files, 3DFAN, has about 100 MB."""
_MAX_OPERATIONS = 200_000
_TORCH_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_WRAPPINGS = re.compile(r"^(?:(?:state_dict|module|model)\.)+")

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ForeignWeights:
    """Tensors by name, parts of names joined with points."""

    path: Path
    arrays: Arrays
    kernels_last: bool
    """Kernels are height, width, in, out (TensorFlow's order), not out, in, height, width."""


def best_device(device: str | None) -> str:
    """`device`, or where that is None the graphics card if PyTorch has one, else the processor."""
    import torch

    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def read_weights(path: Path) -> ForeignWeights:
    """The tensors in one of the files above; which kind it is its first bytes tell.

    Raises `WeightsError` when it cannot be read, `FormatError` in one line when it is damaged,
    hostile, too large or something else.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FormatError(f"{path}: larger than any network that is known")
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        if data.startswith(b"PK\x03\x04"):
            return ForeignWeights(path, _plain_names(read_archive(data, MAX_BYTES)), False)
        if data.startswith(_TORCH_MAGIC):
            return ForeignWeights(path, _plain_names(_read_stacked(data)), False)
        if data.startswith(b"\x80"):
            return ForeignWeights(path, _plain_names(_read_dfl(data)), True)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    raise FormatError(f"{path}: neither a network of DFL's (.npy) nor one of PyTorch's")


def fit(
    weights: ForeignWeights,
    shapes: dict[str, tuple[int, ...]],
    *,
    network: str,
    rename: Callable[[str], str] = str,
) -> dict[str, NDArray[np.float32]]:
    """The tensors of a network with these `shapes`, by its own names.

    `rename` translates the file's names. Every tensor of the file must be one of the network's
    and every one of the network's must be in the file. Raises `FormatError` in one line.
    """
    found: dict[str, NDArray[np.float32]] = {}
    for foreign, array in weights.arrays.items():
        name = rename(foreign)
        if name.endswith(".num_batches_tracked"):
            continue
        if name not in shapes or name in found:
            raise FormatError(f"{weights.path}: not {network}: it has no place for {foreign:.80}")
        if weights.kernels_last and array.ndim == 4 and len(shapes[name]) == 4:
            array = array.transpose(3, 2, 0, 1)
        if len(shapes[name]) == 1 and array.size == max(array.shape, default=0):
            array = array.reshape(-1)
        if array.shape != shapes[name] or array.dtype.kind != "f":
            raise FormatError(
                f"{weights.path}: not {network}: {foreign:.80} has the shape {array.shape}, "
                f"where {shapes[name]} is needed"
            )
        found[name] = np.ascontiguousarray(array, dtype=np.float32)
    missing = [name for name in shapes if name not in found]
    if missing:
        raise FormatError(
            f"{weights.path}: not {network}: it lacks {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        )
    return found


def _plain_names(arrays: Arrays) -> Arrays:
    """Without TensorFlow's `:0` and slashes, and without what PyTorch's trainers put in front."""
    plain: Arrays = {}
    for name, array in arrays.items():
        short = _WRAPPINGS.sub("", name.removesuffix(":0").replace("/", "."))
        if short in plain:
            raise FormatError(f"{name:.80} is there twice")
        plain[short] = array
    return plain


def _read_dfl(data: bytes) -> Arrays:
    content = loads(data, max_bytes=MAX_BYTES, max_operations=_MAX_OPERATIONS)
    if not isinstance(content, dict):
        raise FormatError("not a dictionary of tensors")
    arrays: Arrays = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise FormatError(f"not a dictionary of tensors: {name!r:.60} is not a tensor")
        arrays[name] = value
    return arrays


def _read_stacked(data: bytes) -> Arrays:
    """PyTorch's format before 1.6, by PyTorch's own reader, which unpickles tensors only."""
    import io

    import torch

    try:
        content: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in every way that Python knows
        raise FormatError(f"damaged, or holds more than tensors: {type(error).__name__}") from None
    arrays: Arrays = {}

    def collect(value: object, name: str, depth: int) -> None:
        if isinstance(value, torch.Tensor):
            arrays[name] = value.detach().numpy()
        elif isinstance(value, dict) and depth < 4:
            for key, item in value.items():
                collect(item, f"{name}.{key}" if name else str(key), depth + 1)

    collect(content, "", 0)
    return arrays
