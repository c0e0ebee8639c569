"""Atomic writes, folders of pictures, and the cache folder."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Generator
from pathlib import Path

import platformdirs

from faceloom.core.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
# Files with these suffixes in a folder are videos; a file given by name is tried with any suffix.
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"}
    | {".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"}
)


def output_file(output: str | Path, name: str) -> Path:
    """The path of a single output file: `output`, or `name` in it if that is a folder.

    It is a folder if it ends in `/` (pass text: a `Path` drops that) or if the folder exists. A
    file without a suffix gets that of `name`.
    """
    text = os.fspath(output)
    path = Path(text).expanduser()
    if text.endswith(("/", os.sep)) or path.is_dir():
        return path / name
    return path if path.suffix else path.with_name(path.name + Path(name).suffix)


@contextlib.contextmanager
def atomic_path(path: Path) -> Generator[Path]:
    """Yield a temporary path next to `path`; on success it is synced and renamed to `path`.

    A kill at any moment leaves either the old file or the new one. The temporary name keeps the
    suffix, since some writers choose their format by it. `sweep_temporary` finds what a killed
    process left by the prefix `.tmp-`.
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

    `durable=False` skips the fsync, for thousands of files that can be made again: the rename alone
    already prevents half-written files after a kill.
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
    """The pictures directly in `folder`, in plain string order, as DeepFaceLab lists them.

    Raises `InputError` if the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")
    )
