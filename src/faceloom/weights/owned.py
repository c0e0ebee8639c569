"""Network files that users add themselves: their hash is stored, since none is known beforehand."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from faceloom.core import (
    FaceloomError,
    NullProgress,
    Progress,
    WeightsError,
    atomic_path,
    atomic_write,
    cache_dir,
)
from faceloom.weights.registry import OWNED, OwnedWeight
from faceloom.weights.sources import SourceError, download, file_name_of
from faceloom.weights.store import State

# The largest file that is accepted; the largest known one has about 100 MB.
MAX_BYTES: Final = 512 << 20


@dataclass(frozen=True, slots=True)
class OwnedStatus:
    """A network that users add, and whether the cache has its file."""

    weight: OwnedWeight
    path: Path
    state: State
    file_name: str = ""
    """Original name of the file; empty if there is none."""
    sha256: str = ""
    size_bytes: int = 0


def owned_status() -> list[OwnedStatus]:
    """All networks of this kind with their state in the cache."""
    return [_status(weight) for weight in OWNED.values()]


def have_owned(name: str) -> bool:
    """Whether the user has added a file for `name` that is unchanged since."""
    return _status(_known(name)).state == "present"


def owned_path(name: str) -> Path:
    """The file that was added as `name`; its hash is checked.

    Raises `WeightsError`, with what to do, if there is none or it was altered.
    """
    found = _status(_known(name))
    if found.state == "present":
        return found.path
    files = " or ".join(found.weight.files)
    how = f"`faceloom weights add FILE --as {name}`"
    if found.state == "altered":
        raise WeightsError(f"{found.path}: altered since it was added; add it again with {how}")
    raise WeightsError(
        f"{name} ({found.weight.what}) cannot be downloaded; if you have its file, {files}, "
        f"run {how}"
    )


def add_owned(
    source: Path | str,
    name: str,
    *,
    sha256: str | None = None,
    check: Callable[[Path], object] | None = None,
    progress: Progress | None = None,
) -> OwnedStatus:
    """Add a file, or the content of an https address, to the cache as `name`.

    `sha256` is the required hash, if the user knows it; `check` may inspect the file first and
    raise. A previous file for this name is replaced. Raises `WeightsError` if the file cannot be
    read or downloaded, is too large or has another hash.
    """
    weight = _known(name)
    progress = progress or NullProgress()
    with tempfile.TemporaryDirectory(prefix="faceloom-weights-") as folder:
        if isinstance(source, str):
            file = _download(source, Path(folder), progress)
            address = source
        else:
            file, address = source, str(source)
        digest, size = _measure(file)
        if sha256 is not None and sha256.lower() != digest:
            raise WeightsError(f"{address}: its sha256 is {digest}, not {sha256.lower()}")
        if check is not None:
            try:
                check(file)
            except FaceloomError as error:
                raise type(error)(str(error).replace(str(file), address)) from None
        target = _folder() / f"{name}-{digest[:16]}.weights"
        with atomic_path(target) as temporary:
            temporary.write_bytes(file.read_bytes())
    note = {"file": target.name, "name": file.name, "sha256": digest, "size_bytes": size}
    atomic_write(_note_path(weight), json.dumps(note).encode())
    for old in _folder().glob(f"{name}-*.weights"):
        if old != target:
            old.unlink(missing_ok=True)
    return _status(weight)


def _known(name: str) -> OwnedWeight:
    try:
        return OWNED[name]
    except KeyError:
        raise WeightsError(f"unknown network {name!r}; known: {', '.join(OWNED)}") from None


def _folder() -> Path:
    return cache_dir() / "weights" / "owned"


def _note_path(weight: OwnedWeight) -> Path:
    return _folder() / f"{weight.name}.json"


def _status(weight: OwnedWeight) -> OwnedStatus:
    missing = OwnedStatus(weight, _folder() / weight.files[0], "missing")
    try:
        note: Any = json.loads(_note_path(weight).read_bytes())
        path = _folder() / Path(str(note["file"])).name
        name, sha256, size = str(note["name"]), str(note["sha256"]), int(note["size_bytes"])
    except (OSError, ValueError, LookupError, TypeError):
        return missing
    if not path.is_file():
        return missing
    same = path.stat().st_size == size and _measure(path)[0] == sha256
    return OwnedStatus(weight, path, "present" if same else "altered", name, sha256, size)


def _measure(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file; `WeightsError` if it is unreadable or too large."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsError(f"{path}: {size} bytes, more than the limit of {MAX_BYTES}")
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest(), size
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None


def _download(url: str, folder: Path, progress: Progress) -> Path:
    """Download an address into `folder`, with a note of what is downloaded."""
    try:
        target = folder / file_name_of(url)
        progress.note(f"downloading {url}")
        target.write_bytes(download(url, MAX_BYTES, progress))
    except SourceError as error:
        raise WeightsError(f"{url}: {error}") from None
    return target
