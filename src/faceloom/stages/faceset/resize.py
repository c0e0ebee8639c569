"""Faces at another size or of another face type, from their pictures or anew from the footage."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from faceloom.core import Cancel, FaceloomError, InputError, Progress, Settings
from faceloom.core.vocabulary import SIDES
from faceloom.core.words import counted
from faceloom.faces import FaceRecord, Faceset, OwnMetadata, encode_face, read_face
from faceloom.faces.files.face_file import picture_size
from faceloom.faces.moves.moves import hold_faces, recover_moves
from faceloom.faces.recrop import (
    Recrop,
    frame_size_px,
    plan_recrop,
    plan_resize,
    recrop_picture,
    recrop_record,
    uncovered,
)
from faceloom.geometry import SHORT, FaceType
from faceloom.media import Footage, open_footage
from faceloom.stages.faceset.replace import gather_faces, replace_faces
from faceloom.workspace.faceset import faceset_folder, refuse_empty, undo_command
from faceloom.workspace.footage import open_side
from faceloom.workspace.frame_feed import FrameFeed
from faceloom.workspace.layout import Workspace, footage_in

MARK: Final = "cut_from"
"""Field of a face's own block: `footage` for a face that was cut anew from its frame."""
_ENHANCED = "enhanced"
"""The mark of `faceloom.stages.faceset.enhance`, whose module would load torch."""
MIN_SIZE_PX: Final = 64
MAX_SIZE_PX: Final = 2048
_FOLDER = "resized"
_BORDER_SHARE = 0.01
"""So much of a new picture may lie outside the old one and still count as covered."""


class ResizeConfig(Settings):
    """Which faces to cut anew, how large, and from what."""

    workspace: Path = Path()
    """The workspace."""
    faceset: str = "src"
    """Whose faces: src, dst or a folder of faces."""
    size: int | Literal["estimated", "same"] = "same"
    """Side of the new pictures in pixels, 64 to 2048; estimated: for each face the size that it
    has in its frame; same: as it is."""
    face_type: FaceType | Literal["same"] = "same"
    """How much of the head the new pictures show; the short names h, mf, f, wf and head do as
    well. same: as it is."""
    source: Literal["face", "footage"] = "face"
    """Where pixels come from: face, the picture that is there; footage, the frame, which gives
    every detail and any face type."""
    footage: Path | None = None
    """The footage, where the faceset is no side of a workspace."""
    allow_borders: bool = False
    """Leave black what the picture does not show of the new face type, rather than refuse."""
    to: Path | None = None
    """Write the new faces into this folder; unset: in place of the old ones, which move to
    `aligned_original`."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of the JPEG files."""
    workers: int = Field(default=0, ge=0, le=64)
    """Threads; 0: one for each core, at most 8."""

    @field_validator("face_type", mode="before")
    @classmethod
    def _long_name(cls, value: object) -> object:
        return SHORT.get(value, value) if isinstance(value, str) else value

    @field_validator("size", mode="before")
    @classmethod
    def _in_range(cls, value: object) -> object:
        if value in ("estimated", "same"):
            return value
        text = str(value)
        if not text.isascii() or not text.isdigit():
            raise ValueError("expected a number of pixels, estimated or same")
        if not MIN_SIZE_PX <= int(text) <= MAX_SIZE_PX:
            raise ValueError(f"faces are {MIN_SIZE_PX} to {MAX_SIZE_PX} pixels large")
        return int(text)


@dataclass(frozen=True)
class ResizeResult:
    """What became of the faces."""

    folder: Path
    resized: int
    unchanged: int
    """Faces that had that size and type already."""
    failed: int
    originals: Path | None
    """Where the pictures from before are; None when they are where they were."""
    undo: str
    """The command that takes it back."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        originals = None if self.originals is None else str(self.originals)
        return {**asdict(self), "folder": str(self.folder), "originals": originals}

    def lines(self) -> list[str]:
        """For people."""
        text = f"{self.folder}: {counted(self.resized, 'face')} cut anew"
        if self.unchanged:
            text += f", {self.unchanged} were so already"
        if self.failed:
            text += f", {self.failed} could not be"
        if self.originals is None:
            return [text]
        where = f"the pictures from before are in {self.originals}"
        return [text, where, f"`{self.undo}` brings them back"]


def run(config: ResizeConfig, *, progress: Progress, cancel: Cancel) -> ResizeResult:
    """Cut the faces of a faceset anew, or go on where a run was stopped.

    Raises `InputError` before anything is written: for nothing to do, for a face type that the
    pictures do not cover, for faces whose frames are not in the footage; `CancelledError` on
    `cancel`.
    """
    if config.size == "same" and config.face_type == "same" and config.source == "face":
        raise InputError("resize: nothing to do; give a size, a face type or the footage")
    folder = faceset_folder(config.workspace, config.faceset)
    if config.to is not None and config.to.resolve() == folder.resolve():
        raise InputError(f"{folder}: is the faceset itself; without --to it is changed in place")
    recover_moves(folder)
    with ExitStack() as hold:
        if config.to is None:
            hold.enter_context(hold_faces(folder))
        faceset = Faceset(folder, progress=progress, cancel=cancel)
        refuse_empty(folder, len(faceset), len(faceset.skipped))
        records = dict(faceset)
        plans = _plans(config, folder, records, progress, cancel)
        if config.source == "face":
            return _write(config, folder, records, list(plans), plans, None, progress, cancel, hold)
        with FrameFeed(_footage(config)) as feed:
            frames = _frames_of(folder, records, plans, feed)
            # In the order of the frames, so that each is decoded once.
            order = sorted(plans, key=frames.__getitem__)
            pictures = {path: (feed, frames[path]) for path in order}
            return _write(config, folder, records, order, plans, pictures, progress, cancel, hold)


def _write(
    config: ResizeConfig,
    folder: Path,
    records: Mapping[Path, FaceRecord],
    order: list[Path],
    plans: Mapping[Path, Recrop],
    pictures: Mapping[Path, tuple[FrameFeed, int]] | None,
    progress: Progress,
    cancel: Cancel,
    hold: ExitStack,
) -> ResizeResult:
    """Make the new faces and put them in their place."""

    def make(path: Path) -> bytes:
        plan, from_frame = plans[path], pictures is not None
        if pictures is None:
            image, record = read_face(path)
        else:
            feed, index = pictures[path]
            image, record = feed.picture(index), records[path]
        try:
            picture = recrop_picture(image, plan, from_frame=from_frame)
            new = _marked(recrop_record(record, plan, from_frame=from_frame), from_frame)
            suffix = ".png" if path.suffix.lower() == ".png" else ".jpg"
            return encode_face(picture, new, suffix, config.jpeg_quality)
        except FaceloomError as error:
            raise type(error)(f"{path}: {error}") from None

    settings = {"tool": "resize", "source": config.source, "jpeg_quality": config.jpeg_quality}
    settings |= {"size": config.size, "face_type": config.face_type}
    workers = config.workers or min(8, os.cpu_count() or 1)
    common: Any = {"settings": settings, "workers": workers, "progress": progress, "cancel": cancel}
    label = f"resize {folder.name}"
    if config.to is None:
        common |= {"ending": _FOLDER, "hold": hold}
        done = replace_faces(folder, order, make, label=label, **common)
    else:
        done = gather_faces(order, make, target=config.to, label=label, **common)
    unchanged = len(records) - len(plans) + done.unchanged
    return ResizeResult(
        folder=config.to or folder,
        resized=done.replaced,
        unchanged=unchanged,
        failed=done.failed,
        originals=done.originals,
        undo=undo_command(config.workspace, config.faceset),
    )


def _marked(record: FaceRecord, from_frame: bool) -> FaceRecord:
    """The record with what is told of the new pixels."""
    own = record.own or OwnMetadata()
    stale = {MARK, _ENHANCED} if from_frame else {MARK}
    fields = {key: value for key, value in own.unknown.items() if key not in stale}
    if from_frame:
        fields[MARK] = "footage"
    if record.own is None and not fields:
        return record
    return replace(record, own=replace(own, unknown=MappingProxyType(fields)))


def _cut_from(record: FaceRecord) -> Any:
    return None if record.own is None else record.own.unknown.get(MARK)


# --- what to cut


def _plans(
    config: ResizeConfig,
    folder: Path,
    records: Mapping[Path, FaceRecord],
    progress: Progress,
    cancel: Cancel,
) -> dict[Path, Recrop]:
    """How each face is cut anew; faces that stay as they are have none."""
    plans: dict[Path, Recrop] = {}
    progress.start("looking", len(records), "faces")
    for path, record in records.items():
        cancel.check()
        size = picture_size(path)
        try:
            plan = _plan(config, record, size)
        except FaceloomError as error:
            raise type(error)(f"{path}: {error}") from None
        if plan is None and config.to is not None:
            plan = plan_resize(record, size, size[0])
        if plan is not None:
            plans[path] = plan
        progress.advance()
    progress.finish()
    if config.source == "face" and not config.allow_borders:
        _refuse_borders(folder, plans)
    return plans


def _plan(config: ResizeConfig, record: FaceRecord, old: tuple[int, int]) -> Recrop | None:
    """How a face is cut anew; None when it is so already."""
    kind = record.face_type if config.face_type == "same" else config.face_type
    if kind == "mark_only":
        raise InputError("mark_only is the whole frame, no crop: give another face type")
    if isinstance(config.size, int):
        size_px = config.size
    elif config.size == "same" and record.face_type != "mark_only":
        size_px = max(old)
    else:
        size_px = min(max(2 * round(frame_size_px(record, kind) / 2), MIN_SIZE_PX), MAX_SIZE_PX)
    done = kind == record.face_type and old == (size_px, size_px)
    if config.source == "footage":
        return None if done and _cut_from(record) else plan_recrop(record, old, size_px, kind)
    if done:
        return None
    if kind == record.face_type:
        return plan_resize(record, old, size_px)
    return plan_recrop(record, old, size_px, kind)


def _refuse_borders(folder: Path, plans: Mapping[Path, Recrop]) -> None:
    """`InputError` where a picture does not show all of its new crop."""
    bare = {path: uncovered(plan) for path, plan in plans.items()}
    worst = max(bare, key=bare.__getitem__, default=None)
    if worst is None or bare[worst] <= _BORDER_SHARE:
        return
    count = sum(share > _BORDER_SHARE for share in bare.values())
    kind = plans[worst].face_type
    raise InputError(
        f"{folder}: {count} of {len(plans)} pictures do not show all of {kind} (in {worst.name} "
        f"{bare[worst]:.0%} is missing); --from footage cuts them from the frames, "
        "--allow-borders leaves black there"
    )


# --- where the frames are


def _footage(config: ResizeConfig) -> Footage:
    if config.footage is not None:
        return open_footage(footage_in(config.footage))
    for side in SIDES:
        if config.faceset == side:
            return open_side(Workspace.open(config.workspace), side)
    raise InputError(f"{config.faceset}: no side of a workspace; --footage names what it is from")


def _frames_of(
    folder: Path, records: Mapping[Path, FaceRecord], plans: Mapping[Path, Recrop], feed: FrameFeed
) -> dict[Path, int]:
    """The number of each face's frame, by the frame's name. `InputError` where one is not there."""
    frames: dict[Path, int] = {}
    missing: list[Path] = []
    for path in plans:
        index = feed.index_of(records[path].source_stem)
        if index is None:
            missing.append(path)
        else:
            frames[path] = index
    if missing:
        name = records[missing[0]].source_filename
        raise InputError(
            f"{folder}: {len(missing)} of {len(plans)} faces are not from this footage (first: "
            f"{missing[0].name} from frame {name!r}); --footage names other footage, or move "
            "those faces away"
        )
    return frames
