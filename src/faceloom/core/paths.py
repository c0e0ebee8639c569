"""Files written whole or not at all, and the folders that are ours."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Generator
from pathlib import Path

import platformdirs

from faceloom.core.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"}
    | {".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)
"""What is taken for a video in a folder; a file given by name is tried whatever its suffix."""


def output_file(output: str | Path, name: str) -> Path:
    """Where a single file goes: `output`, or `name` in it when that is a folder.

    It is a folder when it is written with a `/` at its end (a `Path` does not keep that), or when
    there is one. A file without a suffix gets that of `name`.
    """
    text = os.fspath(output)
    path = Path(text).expanduser()
    if text.endswith(("/", os.sep)) or path.is_dir():
        return path / name
    return path if path.suffix else path.with_name(path.name + Path(name).suffix)


@contextlib.contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed over `path`.

    A kill at any instant leaves either the old file or the new one. The temporary name keeps the
    suffix, since some writers choose their format by it. Its prefix `.tmp-` lets `sweep_temporary`
    find what a killed process left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Write `data` to `path` through a temporary file and a rename.

    `durable=False` leaves out the fsync: for files that are written by the thousand and can be
    made again, where a rename alone already rules out a half-written file after a kill.
    """
    payload = data.encode() if isinstance(data, str) else data
    if durable:
        with atomic_path(path) as temporary:
            temporary.write_bytes(payload)
        return
    temporary = path.with_name(f".tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        temporary.write_bytes(payload)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep_temporary(folder: Path) -> None:
    """Delete temporary files that a killed process left in `folder`."""
    if folder.is_dir():
        for leftover in folder.glob(".tmp-*"):
            if leftover.is_file():
                leftover.unlink(missing_ok=True)


def cache_dir() -> Path:
    """The folder for downloaded weights; `FACELOOM_CACHE` overrides the platform's default."""
    override = os.environ.get("FACELOOM_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("faceloom"))


def list_images(folder: Path) -> list[Path]:
    """The pictures directly in `folder`, in plain string order as DFL lists them.

    Raises `InputError` when the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")
    )
