"""Shared by stages that write a signed video of the dst footage."""

from __future__ import annotations

import contextlib
import glob
import os
import uuid
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from faceloom.core import InputError
from faceloom.core.paths import output_file
from faceloom.media import AudioInfo, ColorTags, FootageInfo, open_footage
from faceloom.workspace.layout import Workspace


@contextlib.contextmanager
def unsigned_path(target: Path) -> Generator[Path]:
    """A temporary path next to `target` for a video that is not signed yet; always deleted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".tmp-*-{glob.escape(target.name)}"):
        leftover.unlink(missing_ok=True)
    path = target.with_name(f".tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}-{target.name}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def result_file(workspace: Workspace, output: str | None, suffix: str) -> Path:
    """The file of a result: `output`, in it if it is a folder, or `result…` in the workspace."""
    usual = workspace.result(suffix)
    return usual if output is None else output_file(output, usual.name)


def refuse_sources(target: Path, info: FootageInfo) -> None:
    """Raise `InputError` if a result would overwrite its own footage."""
    if target.exists() and any(target.samefile(path) for path in info.paths if path.exists()):
        raise InputError(f"{target}: this is the footage itself; choose another --output")


def mask_like(info: FootageInfo) -> FootageInfo:
    """The timing and shape of the footage, without its colours and audio."""
    return replace(
        info, bit_depth=8, hdr=False, hdr_metadata=None, color=ColorTags(), audio=[], notes=[]
    )


def sound_of(workspace: Workspace, info: FootageInfo) -> tuple[Path | None, list[AudioInfo]]:
    """The audio of dst: from the video itself, or from the one its frames were exported from."""
    video = workspace.video("dst")
    if video is None:
        return None, []
    if info.kind != "video":
        info = open_footage(video).info
    return (video, info.audio) if info.kind == "video" and info.audio else (None, [])
