"""The frames stage: write a video out as pictures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any

from faceloom.core import Cancel, InputError, Progress
from faceloom.core.paths import IMAGE_SUFFIXES, sweep_temporary
from faceloom.core.pool import ordered_map, worker_count
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.media import (
    TIMELINE_NAME,
    Footage,
    Frame,
    open_footage,
    prefetch,
    read_timeline,
    write_image,
    write_timeline,
)
from faceloom.stages.config import FramesConfig
from faceloom.workspace.footage import timeline_like
from faceloom.workspace.layout import Workspace, footage_in


@dataclass(frozen=True)
class FramesResult(Result):
    """Pictures that were written."""

    output: Path
    frames: int
    """All pictures of the video in the folder."""
    written: int
    """Pictures written by this run."""
    seconds: float
    losses: list[str] = field(default_factory=list[str])
    """What could not be decoded."""

    def lines(self) -> list[str]:
        """For people."""
        existing = self.frames - self.written
        before = f" ({existing} existed already)" if existing else ""
        rate = f", {self.written / self.seconds:.0f} per second" if self.written else ""
        return [f"{self.output}: {counted(self.frames, 'picture')}{before}{rate}", *self.losses]


def run(config: FramesConfig, *, progress: Progress, cancel: Cancel) -> FramesResult:
    """Write the chosen frames as `00001.png` … and their times as `frames.json`.

    Existing pictures are kept. Raises `InputError` if the side has no video, or if the folder
    contains pictures of another export; `CancelledError` when asked to stop.
    """
    began = time.monotonic()
    workspace = Workspace.open(config.workspace)
    footage = _open_video(workspace, config)
    folder = config.output or workspace.data(config.side)
    wanted = choose_frames(footage, Fraction(config.fps).limit_denominator(100_000))
    folder.mkdir(parents=True, exist_ok=True)
    sweep_temporary(folder)
    _claim_folder(folder, footage, config, wanted)
    missing = {
        index: path
        for index, path in _targets(folder, footage, config, wanted)
        if not path.is_file()
    }
    progress.note(
        f"writing {counted(len(missing), f'{config.format.upper()} picture')} to {folder}"
    )
    _note_losses_of_depth(footage, config, progress)
    progress.start("frames", len(wanted), "frames", done=len(wanted) - len(missing))
    written = _write(footage, missing, config, progress, cancel)
    progress.finish()
    cancel.check()
    frames = len(wanted) - len(missing) + written
    return FramesResult(folder, frames, written, time.monotonic() - began, list(footage.losses))


def _open_video(workspace: Workspace, config: FramesConfig) -> Footage:
    side = config.side
    referenced = workspace.footage_reference(side)
    source = workspace.video(side)
    if source is None and referenced is not None and referenced.exists():
        found = footage_in(referenced)
        source = found if isinstance(found, list) else None
    if source is None:
        raise InputError(f"{workspace.folder}: the {side} footage consists of pictures already")
    footage = open_footage(source)
    if footage.info.kind != "video":
        raise InputError(f"{footage.info.path}: the {side} footage is a picture, not a video")
    if config.deep and footage.info.hdr:
        raise InputError(
            f"{footage.info.path}: PNG cannot mark pictures as HDR; merge from the video itself, "
            "or leave out --deep to get tone-mapped pictures"
        )
    if config.deep and config.format == "jpg":
        raise InputError("JPEG stores 8 bits only: --deep needs --format png")
    return footage


def choose_frames(footage: Footage, fps: Fraction) -> list[int]:
    """The numbers of the frames to take for `fps` pictures a second (0: all).

    Time is divided into slots of 1/fps, and the first frame of each slot is taken. A slot begins a
    quarter of a frame early, since time stamps may be rounded to milliseconds.
    """
    if fps <= 0:
        return list(range(len(footage)))
    chosen: list[int] = []
    start = footage.info.start_time - Fraction(1, 4) / footage.info.fps
    last_slot = -1
    for index in range(len(footage)):
        slot = int((footage.time_of(index) - start) * fps)
        if slot > last_slot:
            chosen.append(index)
            last_slot = slot
    return chosen


def _targets(
    folder: Path, footage: Footage, config: FramesConfig, wanted: list[int]
) -> Iterator[tuple[int, Path]]:
    """Frame numbers and their files; with `fps`, files are numbered consecutively, as in DFL."""
    for position, index in enumerate(wanted):
        stem = f"{position + 1:05d}" if config.fps else PurePath(footage.name_of(index)).stem
        yield index, folder / f"{stem}.{config.format}"


def _claim_folder(folder: Path, footage: Footage, config: FramesConfig, wanted: list[int]) -> None:
    """Check that the pictures in the folder belong to this export, and write its timeline."""
    made_from = _identity(footage, config)
    known = read_timeline(folder)
    pictures = [
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()
    ]
    if known is not None and known.made_from == made_from:
        return
    if pictures and not config.redo:
        raise InputError(
            f"{folder}: contains pictures of other footage or settings; choose another --output, "
            "or delete them with --redo"
        )
    for picture in pictures:
        picture.unlink()
    (folder / TIMELINE_NAME).unlink(missing_ok=True)
    info = footage.info
    stamps = {
        path.stem: round(footage.time_of(index) / info.time_base)
        for index, path in _targets(folder, footage, config, wanted)
    }
    fps = Fraction(config.fps).limit_denominator(100_000) if config.fps else info.fps
    timeline = timeline_like(info, stamps, fps=min(fps, info.fps))
    write_timeline(folder, replace(timeline, made_from=made_from))


def _identity(footage: Footage, config: FramesConfig) -> dict[str, Any]:
    files = [
        [path.name, status.st_size, status.st_mtime_ns]
        for path in footage.info.paths
        for status in [path.stat()]
    ]
    chosen = config.model_dump(mode="json", include={"format", "jpeg_quality", "fps", "deep"})
    if config.format == "png":
        chosen.pop("jpeg_quality")
    return {"files": files, **chosen}


def _note_losses_of_depth(footage: Footage, config: FramesConfig, progress: Progress) -> None:
    if footage.info.hdr:
        progress.note("HDR footage: the pictures are tone-mapped to SDR")
    elif footage.info.bit_depth > 8 and not config.deep:
        progress.note(f"reducing {footage.info.bit_depth} bits to 8; --deep keeps them")
    if config.fps > footage.info.fps:
        progress.note(f"the video has {float(footage.info.fps):.6g} frames per second: taking all")


def _write(
    footage: Footage,
    missing: dict[int, Path],
    config: FramesConfig,
    progress: Progress,
    cancel: Cancel,
) -> int:
    """Decode from the first missing frame on, encode and write in threads; return the count."""
    if not missing:
        return 0
    workers = worker_count(config.threads)
    frames = footage.frames(min(missing), max(missing) + 1, native=config.deep)

    def store(frame: Frame) -> None:
        write_image(missing[frame.index], frame.image, jpeg_quality=config.jpeg_quality)
        progress.advance()

    with contextlib.closing(prefetch(frames, depth=workers)) as decoded:
        wanted = (frame for frame in decoded if frame.index in missing)
        return sum(1 for _ in ordered_map(store, wanted, workers=workers, cancel=cancel))
