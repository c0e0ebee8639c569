"""Files that users own and add themselves: no hash is known beforehand, so theirs is remembered."""

from __future__ import annotations

import hashlib
import http.client
import json
import tempfile
import urllib.error
import urllib.parse
import urllib.request
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
from faceloom.weights.store import State

MAX_BYTES: Final = 512 << 20
"""The largest file that is taken in; the largest that is known has about 100 MB."""
_TIMEOUT_S = 20
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class OwnedStatus:
    """A network of a user's file, and whether the cache has one."""

    weight: OwnedWeight
    path: Path
    state: State
    file_name: str = ""
    """What the file was called where it came from; empty while there is none."""
    sha256: str = ""
    size_bytes: int = 0


def owned_status() -> list[OwnedStatus]:
    """Every network of this kind with its state in the cache."""
    return [_status(weight) for weight in OWNED.values()]


def have_owned(name: str) -> bool:
    """Whether the user has added a file for `name`, and it is as it was then."""
    return _status(_known(name)).state == "present"


def owned_path(name: str) -> Path:
    """The file that was added as `name`; its hash is checked.

    Raises `WeightsError`, with what to do, when there is none or it is not as it was.
    """
    found = _status(_known(name))
    if found.state == "present":
        return found.path
    files = " or ".join(found.weight.files)
    how = f"`faceloom weights add FILE --as {name}`"
    if found.state == "altered":
        raise WeightsError(f"{found.path}: not as it was added; add it anew with {how}")
    raise WeightsError(
        f"{name} ({found.weight.what}) cannot be fetched; with a file of your own, {files}, "
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
    """Take a file, or what lies at an https address, into the cache as `name`.

    `sha256` is what the file must have, where the user knows it; `check` may look at the file
    before it is taken and raise. What was there before under that name is replaced. Raises
    `WeightsError` when the file cannot be had, is too large or has another hash.
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
    """SHA-256 and size of a file; `WeightsError` when it cannot be read or is too large."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise WeightsError(f"{path}: {size} bytes, larger than any network that is known")
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest(), size
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to https addresses only."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str) -> str:
    """The file name of an address; `WeightsError` when it is none of https."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise WeightsError(f"{url}: only https addresses are fetched")
    return Path(urllib.parse.unquote(parts.path)).name or "download"


def _open(url: str) -> Any:
    """The reply of an address; a seam for tests."""
    request = urllib.request.Request(url, headers={"User-Agent": "faceloom"})
    return urllib.request.build_opener(_HttpsOnly()).open(request, timeout=_TIMEOUT_S)


def _download(url: str, folder: Path, progress: Progress) -> Path:
    """Fetch an address into `folder`, at most `MAX_BYTES`, telling what is fetched."""
    target = folder / _require_https(url)
    progress.note(f"fetching {url}")
    try:
        with _open(url) as reply, target.open("wb") as file:
            announced = int(reply.headers.get("Content-Length") or 0)
            _bound(url, announced)
            progress.start(f"download {target.name}", announced // 1000, "kB")
            done = 0
            while chunk := reply.read(_CHUNK):
                _bound(url, done + len(chunk))
                file.write(chunk)
                progress.advance((done + len(chunk)) // 1000 - done // 1000)
                done += len(chunk)
            progress.finish()
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise WeightsError(f"{url}: {reason}") from None
    if announced and done != announced:
        raise WeightsError(f"{url}: the connection ended after {done} of {announced} bytes")
    return target


def _bound(url: str, size: int) -> None:
    if size > MAX_BYTES:
        raise WeightsError(f"{url}: larger than any network that is known")
