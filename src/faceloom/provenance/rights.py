"""The rights record: whose face is used on whose footage, and on what ground.

It is stored as `rights.json` in the workspace. Its digest (SHA-256 of its canonical JSON) goes into
the ledger and into the credentials of every result, which links a result to the statement.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import ValidationError

from faceloom.core.config import Settings
from faceloom.core.errors import InputError, RightsError
from faceloom.core.events import Cancel, NullProgress, Progress
from faceloom.core.paths import IMAGE_SUFFIXES, atomic_write
from faceloom.core.vocabulary import Ground
from faceloom.provenance.state import HashCache

GROUNDS: dict[Ground, str] = {
    "own": "it is your own likeness",
    "consent": "the person shown has consented in writing",
    "licence": "a licence allows this use of the likeness",
    "public-domain": "the picture is in the public domain and the use harms nobody's rights",
    "synthetic": "the person does not exist: generated or drawn",
}
"""Each ground and its meaning."""

FILE_NAME = "rights.json"
VERSION = 1
_MISSING_HINT = "create one with `faceloom new DIR --src-rights GROUND --dst-rights GROUND`"

Footage = Path | Sequence[Path]


class FootageFile(Settings):
    """One file of the footage, or a folder of pictures."""

    name: str
    """File or folder name, without its path."""
    count: int = 1
    """Number of files: 1, or the pictures in the folder."""
    size_bytes: int
    """Total size."""
    sha256: str
    """Of the file; for a folder, of its sorted `sha256  name` lines."""


class Statement(Settings):
    """Whose likeness a side shows, and why it may be used."""

    ground: Ground
    """One of own, consent, licence, public-domain, synthetic."""
    subject: str = ""
    """Name of the person, if it should be recorded."""
    note: str = ""
    """Where the consent or licence is kept, or any other remark."""
    files: tuple[FootageFile, ...]
    """The footage that the statement covers."""


class RightsRecord(Settings):
    """The statements about both sides, who made them and when."""

    version: Literal[1] = VERSION
    """Version of the format."""
    src: Statement
    """The person whose face is used."""
    dst: Statement
    """The person in the footage that gets the face."""
    stated_by: str = ""
    """Who is responsible for this record."""
    stated_at: str
    """UTC, ISO 8601."""


def make_record(
    src: Statement, dst: Statement, *, stated_by: str = "", now: datetime | None = None
) -> RightsRecord:
    """A record of both statements with the current time."""
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    stamp = moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    return RightsRecord(src=src, dst=dst, stated_by=stated_by, stated_at=stamp)


def rights_digest(record: RightsRecord) -> str:
    """SHA-256 (hex) of the record's JSON with sorted keys and no spaces, in UTF-8."""
    canonical = json.dumps(
        record.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def write_rights(workspace_dir: Path, record: RightsRecord) -> str:
    """Store the record with its digest, atomically; return the digest."""
    digest = rights_digest(record)
    content = {"digest": digest, **record.model_dump(mode="json")}
    atomic_write(workspace_dir / FILE_NAME, json.dumps(content, indent=2) + "\n")
    return digest


def read_rights(workspace_dir: Path) -> tuple[RightsRecord, str] | None:
    """The record and its digest, or None if there is none.

    Raises `RightsError` if the file is broken, incomplete, or was altered after it was written.
    """
    file = workspace_dir / FILE_NAME
    try:
        content: Any = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise RightsError(f"{file}: not valid JSON; {_MISSING_HINT}") from None
    if not isinstance(content, dict):
        raise RightsError(f"{file}: not a rights record; {_MISSING_HINT}")
    values = cast("dict[str, Any]", content)
    stored = values.pop("digest", None)
    try:
        record = RightsRecord.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RightsError(f"{file}: {key}: {first['msg']}; {_MISSING_HINT}") from None
    digest = rights_digest(record)
    if digest != stored:
        raise RightsError(f"{file}: altered after it was written; {_MISSING_HINT}")
    return record, digest


def require_rights(
    workspace_dir: Path,
    footage: Mapping[str, Footage] | None = None,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> str:
    """The digest of the rights record; stages call this before they write anything.

    With `footage` ("src" and/or "dst" → what `Workspace.footage` returns), the record must cover
    these files. Raises `RightsError` if the record is missing, incomplete, altered, or about other
    footage.
    """
    found = read_rights(workspace_dir)
    if found is None:
        raise RightsError(f"{workspace_dir}: no rights record ({FILE_NAME}); {_MISSING_HINT}")
    record, digest = found
    for side, paths in (footage or {}).items():
        statement = record.src if side == "src" else record.dst
        files = describe_footage(workspace_dir, paths, progress=progress, cancel=cancel)
        known = {(file.count, file.size_bytes, file.sha256) for file in statement.files}
        for file in files:
            if (file.count, file.size_bytes, file.sha256) not in known:
                raise RightsError(
                    f"{workspace_dir}: the rights record does not cover the {side} footage "
                    f"{file.name!r}, or the file has changed; {_MISSING_HINT}"
                )
    return digest


def describe_footage(
    workspace_dir: Path,
    footage: Footage,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[FootageFile, ...]:
    """Names, sizes and hashes of footage: a file, a folder of pictures, or a list of files.

    Hashes are cached in the workspace by path, size and modification time. Raises `InputError` if a
    file is missing or unreadable.
    """
    progress, cancel = progress or NullProgress(), cancel or Cancel()
    paths = [footage] if isinstance(footage, Path) else list(footage)
    members = {path: _members(path) for path in paths}
    cache = HashCache(workspace_dir)
    fresh = [file for files in members.values() for file in files if not cache.knows(file)]
    if len(fresh) > 1:
        progress.start("hash footage", len(fresh), "files")
    for file in fresh:
        cancel.check()
        cache.sha256(file)
        progress.advance()
    if len(fresh) > 1:
        progress.finish()
    described = tuple(_describe(path, files, cache) for path, files in members.items())
    cache.save()
    return described


def _members(path: Path) -> list[Path]:
    """The files of a path: itself, or the pictures directly in a folder."""
    if path.is_dir():
        files = sorted(
            entry
            for entry in path.iterdir()
            if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")
        )
        if not files:
            raise InputError(f"{path}: no pictures in this folder")
        return files
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    return [path]


def _describe(path: Path, files: Iterable[Path], cache: HashCache) -> FootageFile:
    listed = [(file.name, file.stat().st_size, cache.sha256(file)) for file in files]
    if not path.is_dir():
        _, size, digest = listed[0]
        return FootageFile(name=_name(path), size_bytes=size, sha256=digest)
    lines = "".join(f"{digest}  {name}\n" for name, _, digest in listed)
    return FootageFile(
        name=_name(path),
        count=len(listed),
        size_bytes=sum(size for _, size, _ in listed),
        sha256=hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest(),
    )


def _name(path: Path) -> str:
    """The name of the file; bytes that are not Unicode as escapes, since JSON cannot store them."""
    return path.resolve().name.encode("utf-8", "backslashreplace").decode()
