"""The encode stage: merged frames and dst's sound, times and colours to a labelled video."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, Self

from pydantic import Field, model_validator

from faceloom.core import Cancel, InputError, MediaError, Progress, Settings, list_images
from faceloom.core.vocabulary import SIDES
from faceloom.media import (
    AudioInfo,
    ColorTags,
    Footage,
    FootageInfo,
    Image,
    Preset,
    VideoCodec,
    VideoWriter,
    default_codec,
    default_suffix,
    prefetch,
    read_image,
)
from faceloom.provenance import append_ledger, require_rights, sign_file
from faceloom.workspace.footage import open_side
from faceloom.workspace.layout import Workspace
from faceloom.workspace.result_video import (
    mask_like,
    refuse_misfits,
    refuse_sources,
    sound_of,
    unsigned_path,
)

Timed = tuple[Path, Fraction]


class EncodeConfig(Settings):
    """How the merged frames become a video."""

    workspace: Path = Path()
    """The workspace, whose merged frames and dst footage are used."""
    output: Path | None = None
    """The video; unset: `result.mp4` (or `.mkv`, `.mov`) in the workspace."""
    codec: VideoCodec | None = None
    """The codec; unset: h264, or h265 for footage of more than 8 bits."""
    crf: float | None = Field(default=None, ge=0, le=51)
    """Constant quality for h264 and h265, lower is better; unset: 16 and 18."""
    bitrate: int | None = Field(default=None, ge=1000)
    """Bits a second for h264 and h265, instead of `crf`."""
    preset: Preset = "medium"
    """The encoder's preset for h264 and h265: slower makes smaller files."""
    masks: bool = True
    """Make a (lossless) video of the masks, too."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse_misfits(self.codec, self.output, self.crf, self.bitrate)
        return self


@dataclass(frozen=True)
class EncodeResult:
    """What was encoded."""

    output: Path
    mask_output: Path | None
    frames: int
    codec: str
    duration_s: float
    seconds: float
    notes: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        mask = str(self.mask_output) if self.mask_output else None
        return {**asdict(self), "output": str(self.output), "mask_output": mask}

    def lines(self) -> list[str]:
        """For people."""
        masks = [f"masks: {self.mask_output}"] if self.mask_output else []
        frames = f"{self.frames} frame{'s' if self.frames != 1 else ''}"
        what = f"{frames}, {self.duration_s:.2f} s, {self.codec}, signed"
        return [f"{self.output}: {what}", *masks, *self.notes]


def run(config: EncodeConfig, *, progress: Progress, cancel: Cancel) -> EncodeResult:
    """Encode the merged frames with dst's time stamps, colour tags and audio, and sign the result.

    Raises `RightsError` when the workspace's rights record does not cover its footage,
    `InputError` when nothing is merged, `CancelledError` when asked to stop (nothing is left then).
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
    target = config.output or workspace.result(_suffix(codec, like, audio))
    mask_target = target.with_name(f"{target.stem}_mask.mp4") if masks else None
    for path in filter(None, (target, mask_target)):
        refuse_sources(path, footage.info)
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
    _record(workspace, digest, target, codec, len(frames))
    length = frames[-1][1] - frames[0][1] + (footage.info.last_frame_s or 1 / footage.info.fps)
    seconds = time.monotonic() - began
    return EncodeResult(target, mask_target, len(frames), codec, float(length), seconds, notes)


def merged_frames(folder: Path, footage: Footage, progress: Progress) -> list[Timed]:
    """The pictures in `folder` in the footage's order, each with its frame's time.

    Raises `InputError` when there are none, or none is named after a frame of the footage.
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
            f"{folder}: its pictures are not named after the footage's frames "
            f"({footage.name_of(0)} …); merge again"
        )
    if len(found) < len(footage):
        progress.note(
            f"{len(footage) - len(found)} of {len(footage)} frames are not in {folder.name}: the "
            "frame before each stands longer (finish `faceloom merge` first if it was stopped)"
        )
    if pictures:
        progress.note(f"{len(pictures)} pictures in {folder.name} are no frames of the footage")
    return found


def _like_pictures(info: FootageInfo, first: Path, progress: Progress) -> FootageInfo:
    """The footage as the merged pictures are: 8-bit pictures of HDR footage can only be SDR."""
    if not info.hdr or read_image(first, native=True)[0].dtype.itemsize > 1:
        return info
    progress.note("the merged pictures have 8 bits: the result is SDR, though the footage is HDR")
    tags = ColorTags("bt709", "limited", "bt709", "bt709")
    return replace(info, hdr=False, hdr_metadata=None, bit_depth=8, color=tags)


def _masks_of(frames: Sequence[Timed], folder: Path) -> list[Timed]:
    masks = {path.stem: path for path in list_images(folder)} if folder.is_dir() else {}
    return [(masks[path.stem], at) for path, at in frames if path.stem in masks]


def _suffix(codec: VideoCodec, info: FootageInfo, audio: list[AudioInfo]) -> str:
    return default_suffix(codec, info, [track.codec for track in audio])


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
    """Encode pictures at their times into `target`; return what the user should know.

    The video has the size of the first picture; all must have it. It appears when it is whole.
    Raises `MediaError` for a picture that cannot be read or differs in size.
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
                        f"{path}: {image.shape[1]}x{image.shape[0]} pixels, where the frames "
                        f"before have {width}x{height}; a video needs one size"
                    )
                writer.write(image, at)
                progress.advance()
        finally:
            pictures.close()
    return writer.notes


def _read(frames: Sequence[Timed]) -> Iterator[tuple[Path, Image, Fraction]]:
    for path, at in frames:
        yield path, read_image(path, native=True)[0], at


def _record(workspace: Workspace, digest: str, target: Path, codec: str, frames: int) -> None:
    data = {"rights_sha256": digest, "output": target.name, "codec": codec, "frames": frames}
    append_ledger(workspace.folder, "encode", data)
