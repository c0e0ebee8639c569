"""The encode stage: merged frames to a signed video with the audio, timing and colours of dst."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path, PurePath

from faceloom.core import Cancel, InputError, MediaError, Progress, list_images
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES, VideoCodec
from faceloom.core.words import counted
from faceloom.media import (
    ColorTags,
    Footage,
    FootageInfo,
    Image,
    VideoWriter,
    default_codec,
    default_suffix,
    prefetch,
    read_image,
)
from faceloom.provenance import append_ledger, require_rights, sign_file
from faceloom.stages.config import EncodeConfig
from faceloom.workspace import (
    Workspace,
    mask_like,
    open_side,
    refuse_sources,
    result_file,
    sound_of,
    unsigned_path,
)

Timed = tuple[Path, Fraction]


@dataclass(frozen=True)
class EncodeResult(Result):
    """What was encoded."""

    output: Path
    mask_output: Path | None
    frames: int
    codec: str
    duration_s: float
    seconds: float
    notes: list[str] = field(default_factory=list[str])

    def lines(self) -> list[str]:
        """For people."""
        masks = [f"masks: {self.mask_output}"] if self.mask_output else []
        what = f"{counted(self.frames, 'frame')}, {self.duration_s:.2f} s, {self.codec}, signed"
        rate = f"; encoded in {self.seconds:.0f} s"
        return [
            f"{self.output}: {what}{rate}",
            *masks,
            *self.notes,
            f"next: faceloom inspect {self.output}",
        ]


def run(config: EncodeConfig, *, progress: Progress, cancel: Cancel) -> EncodeResult:
    """Encode the merged frames with the timing, colour tags and audio of dst, and sign the result.

    Raises `RightsError` if the rights record does not cover the footage, `InputError` if there
    are no merged frames, `CancelledError` when asked to stop (nothing is left behind then).
    """
    began = time.monotonic()
    workspace = Workspace.open(config.workspace)
    covered = {side: workspace.footage(side) for side in SIDES if workspace.has_footage(side)}
    digest = require_rights(workspace.folder, covered, progress=progress, cancel=cancel)
    footage = open_side(workspace, "dst")
    frames = merged_frames(workspace.merged, footage, progress)
    masks = _masks_of(frames, workspace.merged_mask) if config.masks else []
    like = _like_pictures(footage.info, frames[0][0], progress)
    audio_from, audio = sound_of(workspace, footage.info)
    codec = config.codec or default_codec(like)
    suffix = default_suffix(codec, like, [track.codec for track in audio])
    target = result_file(workspace, config.output, suffix)
    mask_target = target.with_name(f"{target.stem}_mask.mp4") if masks else None
    for path in filter(None, (target, mask_target)):
        refuse_sources(path, footage.info)
    length = frames[-1][1] - frames[0][1] + (footage.info.last_frame_s or 1 / footage.info.fps)
    height, width = like.size
    progress.note(
        f"encoding {counted(len(frames), 'frame')} ({float(length):.2f} s) of {width}x{height} "
        f"as {codec} to {target}" + (f", and the masks to {mask_target}" if mask_target else "")
    )
    progress.start("encode", len(frames) + len(masks), "frames")
    with unsigned_path(target) as unsigned:
        notes = encode_frames(
            unsigned, frames, like, codec, progress, cancel, config, audio_from=audio_from
        )
        if mask_target is not None:
            encode_frames(mask_target, masks, mask_like(like), "h264-lossless", progress, cancel)
        sign_file(
            unsigned,
            workspace_dir=workspace.folder,
            rights_digest=digest,
            parent=covered["dst"],
            destination=target,
        )
    progress.finish()
    data = {"rights_sha256": digest, "output": target.name, "codec": codec, "frames": len(frames)}
    append_ledger(workspace.folder, "encode", data)
    seconds = time.monotonic() - began
    return EncodeResult(target, mask_target, len(frames), codec, float(length), seconds, notes)


def merged_frames(folder: Path, footage: Footage, progress: Progress) -> list[Timed]:
    """The pictures in `folder` in the order of the footage, each with the time of its frame.

    Raises `InputError` if there are none, or if none has the name of a frame of the footage.
    """
    pictures = {path.stem: path for path in list_images(folder)} if folder.is_dir() else {}
    if not pictures:
        raise InputError(f"{folder}: no merged frames; run `faceloom merge` first")
    found: list[Timed] = []
    for index in range(len(footage)):
        path = pictures.pop(PurePath(footage.name_of(index)).stem, None)
        if path is not None:
            found.append((path, footage.time_of(index)))
    if not found:
        raise InputError(
            f"{folder}: no picture has the name of a frame of the footage "
            f"({footage.name_of(0)} …); merge again"
        )
    if len(found) < len(footage):
        progress.note(
            f"{len(footage) - len(found)} of {len(footage)} frames are missing from {folder.name}: "
            "the frame before each is shown longer (finish `faceloom merge` if it was stopped)"
        )
    if pictures:
        progress.note(
            f"ignoring {counted(len(pictures), 'picture')} in {folder.name} with other names"
        )
    return found


def _like_pictures(info: FootageInfo, first: Path, progress: Progress) -> FootageInfo:
    """The description of the merged pictures: with 8 bits they are SDR, whatever the footage is."""
    if not info.hdr or read_image(first, native=True)[0].dtype.itemsize > 1:
        return info
    progress.note("the merged pictures have 8 bits: the result is SDR although the footage is HDR")
    tags = ColorTags("bt709", "limited", "bt709", "bt709")
    return replace(info, hdr=False, hdr_metadata=None, bit_depth=8, color=tags)


def _masks_of(frames: Sequence[Timed], folder: Path) -> list[Timed]:
    masks = {path.stem: path for path in list_images(folder)} if folder.is_dir() else {}
    return [(masks[path.stem], at) for path, at in frames if path.stem in masks]


def encode_frames(
    target: Path,
    frames: Sequence[Timed],
    like: FootageInfo,
    codec: VideoCodec,
    progress: Progress,
    cancel: Cancel,
    config: EncodeConfig | None = None,
    *,
    audio_from: Path | None = None,
) -> list[str]:
    """Encode pictures at their times into `target`; return notes for the user.

    The size of the video is that of the first picture. The file appears when it is complete.
    Raises `MediaError` for a picture that cannot be read or has another size.
    """
    first, _ = read_image(frames[0][0])
    options = config or EncodeConfig()
    with VideoWriter(
        target,
        like,
        codec=codec,
        crf=options.crf,
        bitrate=options.bitrate,
        preset=options.preset,
        threads=options.threads,
        audio_from=audio_from,
        size=(first.shape[0], first.shape[1]),
    ) as writer:
        pictures = prefetch(_read(frames), depth=4)
        try:
            for path, image, at in pictures:
                cancel.check()
                if image.shape[:2] != writer.size:
                    height, width = writer.size
                    raise MediaError(
                        f"{path}: {image.shape[1]}x{image.shape[0]} pixels, but the first "
                        f"frame has {width}x{height}; all must have the same size"
                    )
                writer.write(image, at)
                progress.advance()
        finally:
            pictures.close()
    return writer.notes


def _read(frames: Sequence[Timed]) -> Iterator[tuple[Path, Image, Fraction]]:
    for path, at in frames:
        yield path, read_image(path, native=True)[0], at
