"""Faces at another size or of another face type, from their pictures or from the footage."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from faceloom.core import Cancel, FaceloomError, InputError, Progress
from faceloom.core.pool import worker_count
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES
from faceloom.core.words import counted
from faceloom.faces import FaceRecord, Faceset, OwnMetadata, encode_face, read_face
from faceloom.faces.files.face_file import picture_size
from faceloom.faces.moves.moves import lock_faces, recover_moves
from faceloom.faces.recrop import (
    Recrop,
    frame_size_px,
    plan_recrop,
    plan_resize,
    recrop_picture,
    recrop_record,
    uncovered,
)
from faceloom.media import Footage, open_footage
from faceloom.stages.faceset.config import MAX_SIZE_PX, MIN_SIZE_PX, FacesetResizeConfig
from faceloom.stages.faceset.replace import gather_faces, replace_faces
from faceloom.workspace import (
    FrameFeed,
    Workspace,
    faceset_folder,
    footage_in,
    open_side,
    refuse_empty,
    undo_command,
)

MARK: Final = "cut_from"
"""Field of a face's own block: `footage` for a face that was re-cropped from its frame."""
# The mark of `faceloom.stages.faceset.enhance`, whose module would load torch.
_ENHANCED = "enhanced"
_FOLDER = "resized"
# Up to this share of a new picture may lie outside the old one and it still counts as covered.
_BORDER_SHARE = 0.01
# Decoded frames wait for their faces: more threads would need more memory and gain little.
_MOST_THREADS = 8


@dataclass(frozen=True)
class FacesetResizeResult(Result):
    """How many faces were resized."""

    folder: Path
    resized: int
    unchanged: int
    """Faces that had that size and type already."""
    failed: int
    originals: Path | None
    """Where the old pictures are; None if they were not replaced."""
    undo: str
    """The command that reverts it."""

    def lines(self) -> list[str]:
        text = f"{self.folder}: {counted(self.resized, 'face')} re-cropped"
        if self.unchanged:
            text += f", {self.unchanged} needed no change"
        if self.failed:
            text += f", {self.failed} failed"
        if self.originals is None:
            return [text]
        where = f"the old pictures are in {self.originals}"
        return [text, where, f"`{self.undo}` brings them back"]


def run(config: FacesetResizeConfig, *, progress: Progress, cancel: Cancel) -> FacesetResizeResult:
    """Re-crop the faces of a faceset, or resume a run that was stopped.

    Raises `InputError` before anything is written: if there is nothing to do, for a face type that
    the pictures do not cover, and for faces whose frames are not in the footage; `CancelledError`
    on `cancel`.
    """
    if config.size == "same" and config.face_type == "same" and config.source == "face":
        raise InputError("resize: nothing to do; give --size, --face-type or --from footage")
    folder = faceset_folder(config.workspace, config.faceset)
    if config.output is not None and config.output.resolve() == folder.resolve():
        raise InputError(
            f"{folder}: is the faceset itself; leave out --output to change it in place"
        )
    recover_moves(folder)
    with ExitStack() as hold:
        if config.output is None:
            hold.enter_context(lock_faces(folder))
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
    config: FacesetResizeConfig,
    folder: Path,
    records: Mapping[Path, FaceRecord],
    order: list[Path],
    plans: Mapping[Path, Recrop],
    pictures: Mapping[Path, tuple[FrameFeed, int]] | None,
    progress: Progress,
    cancel: Cancel,
    hold: ExitStack,
) -> FacesetResizeResult:
    """Make the new faces and replace the old ones, or write them elsewhere."""

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
    workers = config.threads or worker_count(most=_MOST_THREADS)
    common: Any = {"settings": settings, "workers": workers, "progress": progress, "cancel": cancel}
    label = f"resize {folder.name}"
    if config.output is None:
        common |= {"ending": _FOLDER, "hold": hold}
        done = replace_faces(folder, order, make, label=label, **common)
    else:
        done = gather_faces(order, make, target=config.output, label=label, **common)
    unchanged = len(records) - len(plans) + done.unchanged
    return FacesetResizeResult(
        folder=config.output or folder,
        resized=done.replaced,
        unchanged=unchanged,
        failed=done.failed,
        originals=done.originals,
        undo=undo_command(config.workspace, config.faceset),
    )


def _marked(record: FaceRecord, from_frame: bool) -> FaceRecord:
    """The record with marks for where the new pixels come from."""
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


# --- which crops


def _plans(
    config: FacesetResizeConfig,
    folder: Path,
    records: Mapping[Path, FaceRecord],
    progress: Progress,
    cancel: Cancel,
) -> dict[Path, Recrop]:
    """The new crop of each face; faces that stay unchanged have none."""
    plans: dict[Path, Recrop] = {}
    progress.start("planning", len(records), "faces")
    for path, record in records.items():
        cancel.check()
        size = picture_size(path)
        try:
            plan = _plan(config, record, size)
        except FaceloomError as error:
            raise type(error)(f"{path}: {error}") from None
        if plan is None and config.output is not None:
            plan = plan_resize(record, size, size[0])
        if plan is not None:
            plans[path] = plan
        progress.advance()
    progress.finish()
    if config.source == "face" and not config.allow_borders:
        _refuse_borders(folder, plans)
    return plans


def _plan(config: FacesetResizeConfig, record: FaceRecord, old: tuple[int, int]) -> Recrop | None:
    """The new crop of a face; None if it is so already."""
    kind = record.face_type if config.face_type == "same" else config.face_type
    if kind == "mark_only":
        raise InputError("mark_only is the whole frame, not a crop; choose another face type")
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
    """`InputError` if pictures do not show all of their new crop."""
    bare = {path: uncovered(plan) for path, plan in plans.items()}
    worst = max(bare, key=bare.__getitem__, default=None)
    if worst is None or bare[worst] <= _BORDER_SHARE:
        return
    count = sum(share > _BORDER_SHARE for share in bare.values())
    kind = plans[worst].face_type
    raise InputError(
        f"{folder}: {count} of {len(plans)} pictures do not show all of {kind} (in {worst.name} "
        f"{bare[worst]:.0%} is missing); --from footage crops the frames instead, "
        "--allow-borders fills the rest with black"
    )


# --- where the frames are


def _footage(config: FacesetResizeConfig) -> Footage:
    if config.footage is not None:
        return open_footage(footage_in(config.footage))
    for side in SIDES:
        if config.faceset == side:
            return open_side(Workspace.open(config.workspace), side)
    raise InputError(
        f"{config.faceset}: neither src nor dst of a workspace; give its footage with --footage"
    )


def _frames_of(
    folder: Path, records: Mapping[Path, FaceRecord], plans: Mapping[Path, Recrop], feed: FrameFeed
) -> dict[Path, int]:
    """The number of each face's frame, found by name; `InputError` if one is missing."""
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
            f"{missing[0].name} from frame {name!r}); give other footage with --footage, "
            "or move those faces away"
        )
    return frames
