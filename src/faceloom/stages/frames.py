"""The frames stage: a video written out as pictures, for those who want to see or touch them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, Literal

from pydantic import Field

from faceloom.core import Cancel, InputError, Progress, Settings
from faceloom.core.paths import IMAGE_SUFFIXES, sweep_temporary
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
from faceloom.workspace.footage import timeline_like
from faceloom.workspace.layout import Workspace, footage_in


class FramesConfig(Settings):
    """Which side's video is written out, and how."""

    workspace: Path = Path()
    """The workspace."""
    side: Literal["src", "dst"]
    """Whose video."""
    format: Literal["png", "jpg"] = "png"
    """png (lossless) or jpg (small)."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """JPEG quality."""
    fps: float = Field(default=0, ge=0)
    """Pictures a second; 0 takes every frame."""
    deep: bool = False
    """Keep more than 8 bits, in 16-bit PNG, where the video has them."""
    output: Path | None = None
    """The folder; unset: data_src or data_dst in the workspace."""
    redo: bool = False
    """Delete the pictures of another dump in that folder and begin anew."""


@dataclass(frozen=True)
class FramesResult:
    """What a dump left."""

    output: Path
    frames: int
    """Pictures that are there now."""
    written: int
    """Pictures that were made now."""
    seconds: float
    losses: list[str] = field(default_factory=list[str])
    """What of the video could not be decoded."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {**asdict(self), "output": str(self.output)}

    def lines(self) -> list[str]:
        """For people."""
        there = self.frames - self.written
        before = f" ({there} were there before)" if there else ""
        rate = f", {self.written / self.seconds:.0f} a second" if self.written else ""
        return [f"{self.output}: {self.frames} pictures{before}{rate}", *self.losses]


def run(config: FramesConfig, *, progress: Progress, cancel: Cancel) -> FramesResult:
    """Write the chosen frames as `00001.png` … and their times as `frames.json`.

    Pictures that are there already are kept. Raises `InputError` when the side has no video, or
    the folder holds pictures that are not of this dump; `CancelledError` when asked to stop.
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
    _tell(footage, config, progress)
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
        raise InputError(f"{workspace.folder}: the {side} footage is pictures already")
    footage = open_footage(source)
    if footage.info.kind != "video":
        raise InputError(f"{footage.info.path}: the {side} footage is a picture already")
    if config.deep and footage.info.hdr:
        raise InputError(
            f"{footage.info.path}: HDR pictures would lose their meaning in PNG; merge from the "
            "video itself, or leave deep out for tone-mapped ones"
        )
    if config.deep and config.format == "jpg":
        raise InputError("JPEG holds 8 bits only: deep needs --format png")
    return footage


def choose_frames(footage: Footage, fps: Fraction) -> list[int]:
    """The numbers of the frames to take for `fps` pictures a second (0: all).

    Time is cut into slots of 1/fps; the first frame of each slot is taken. Frames count as in a
    slot from a quarter of a frame before it, since stamps may be rounded to milliseconds.
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
    """Frame numbers and their files. A thinned dump is numbered on its own, as DFL does."""
    for position, index in enumerate(wanted):
        stem = f"{position + 1:05d}" if config.fps else PurePath(footage.name_of(index)).stem
        yield index, folder / f"{stem}.{config.format}"


def _claim_folder(folder: Path, footage: Footage, config: FramesConfig, wanted: list[int]) -> None:
    """Make sure that the folder's pictures are of this very dump, and write its timeline."""
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
            f"{folder}: holds pictures of another dump or other footage; choose another --output, "
            "or --redo deletes them"
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


def _tell(footage: Footage, config: FramesConfig, progress: Progress) -> None:
    if footage.info.hdr:
        progress.note("HDR: the pictures are tone-mapped to SDR")
    elif footage.info.bit_depth > 8 and not config.deep:
        progress.note(f"{footage.info.bit_depth} bits are reduced to 8; --deep keeps them")
    if config.fps > footage.info.fps:
        progress.note(f"the video has {float(footage.info.fps):.6g} frames a second: all are taken")


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
    workers = os.cpu_count() or 1
    written = 0
    frames = footage.frames(min(missing), max(missing) + 1, native=config.deep)
    with ThreadPoolExecutor(workers) as pool:
        pending: set[Future[None]] = set()
        ahead = prefetch(frames, depth=workers)
        try:
            for frame in ahead:
                if cancel.is_set:
                    break
                if frame.index not in missing:
                    continue
                pending.add(pool.submit(_store, frame, missing[frame.index], config, progress))
                written += 1
                if len(pending) >= 2 * workers:
                    pending = _settle(pending, all_of_them=False)
            _settle(pending, all_of_them=True)
        finally:
            ahead.close()
    return written


def _store(frame: Frame, path: Path, config: FramesConfig, progress: Progress) -> None:
    write_image(path, frame.image, jpeg_quality=config.jpeg_quality)
    progress.advance()


def _settle(pending: set[Future[None]], *, all_of_them: bool) -> set[Future[None]]:
    """Wait for one or all; raise what went wrong in them."""
    done, rest = wait(pending, return_when="ALL_COMPLETED" if all_of_them else "FIRST_COMPLETED")
    for future in done:
        future.result()
    return rest
