"""What merge and encode share: a labelled video made from dst's footage."""

from __future__ import annotations

import contextlib
import glob
import os
import uuid
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from faceloom.core import InputError
from faceloom.media import AudioInfo, ColorTags, FootageInfo, check_encoding, open_footage
from faceloom.workspace.layout import Workspace


@contextlib.contextmanager
def unsigned_path(target: Path) -> Generator[Path]:
    """A temporary path next to `target` for a video without labels; deleted at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".tmp-*-{glob.escape(target.name)}"):
        leftover.unlink(missing_ok=True)
    path = target.with_name(f".tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def refuse_misfits(
    codec: str | None, output: Path | None, crf: float | None, bitrate: int | None
) -> None:
    """For a configuration's validator: `ValueError` if its choices are incompatible.

    An unset codec means h264 or h265, which accept the same suffixes and rates.
    """
    suffix = None if output is None else output.suffix
    try:
        check_encoding(codec or "h264", suffix=suffix, crf=crf, bitrate=bitrate)
    except InputError as error:
        raise ValueError(str(error)) from None


def refuse_sources(target: Path, info: FootageInfo) -> None:
    """Raise `InputError` if a result would overwrite the footage it is made from."""
    if target.exists() and any(target.samefile(path) for path in info.paths if path.exists()):
        raise InputError(f"{target}: is the footage itself; choose another --output")


def mask_like(info: FootageInfo) -> FootageInfo:
    """The footage's timeline and shape, without its colours and sound."""
    return replace(
        info, bit_depth=8, hdr=False, hdr_metadata=None, color=ColorTags(), audio=[], notes=[]
    )


def sound_of(workspace: Workspace, info: FootageInfo) -> tuple[Path | None, list[AudioInfo]]:
    """Where dst's sound comes from: the video itself, or the one its frames are from."""
    video = workspace.video("dst")
    if video is None:
        return None, []
    if info.kind != "video":
        info = open_footage(video).info
    return (video, info.audio) if info.kind == "video" and info.audio else (None, [])
