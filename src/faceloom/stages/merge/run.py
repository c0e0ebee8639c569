"""The merge stage: put the trained face on every frame of the dst footage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath

import torch

from faceloom.checkpoints import (
    ModelFolder,
    ModelState,
    choose_device,
    choose_precision,
    computing,
    find_model,
    load_model,
    read_state,
)
from faceloom.checkpoints.tensors import EMA_FILE
from faceloom.compositing import Composite, FaceGeometry, MergeSettings
from faceloom.core import Cancel, InputError, Progress
from faceloom.core.pool import one_opencv_thread, worker_count
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES
from faceloom.core.words import counted
from faceloom.faces import FaceRecord, Faceset
from faceloom.geometry import frame_to_face
from faceloom.media import (
    Footage,
    Frame,
    VideoWriter,
    default_codec,
    default_suffix,
    working_transform,
    write_image,
)
from faceloom.models import MODELS, Precision
from faceloom.provenance import append_ledger, require_rights, sign_file
from faceloom.stages.extract.journal import read_done
from faceloom.stages.merge.config import MergeConfig
from faceloom.stages.merge.journal import FrameEntry, FrameKeys, MergeJournal
from faceloom.stages.merge.pipeline import MergePipeline, Merger, predictor_of
from faceloom.workspace import (
    Workspace,
    mask_like,
    open_side,
    refuse_sources,
    result_file,
    sound_of,
    unsigned_path,
)


@dataclass(frozen=True)
class MergeResult(Result):
    """What was merged."""

    frames: int
    """Frames of the result, from this run and earlier ones."""
    faces: int
    """Faces pasted in them."""
    untouched: int
    """Frames copied unchanged: without a face, or with one too small to paste."""
    reused: int
    """Frames that were already finished."""
    model: str
    iteration: int
    seconds: float
    output: Path
    """The folder of the merged frames, or the video."""
    mask_output: Path
    """The same for the masks."""
    losses: list[str] = field(default_factory=list[str])
    """What could not be decoded."""

    def lines(self) -> list[str]:
        """For people."""
        made = self.frames - self.reused
        rate = f", {made / self.seconds:.1f} per second" if made and self.seconds else ""
        reused = f" ({self.reused} already finished)" if self.reused else ""
        is_video = bool(self.output.suffix)
        return [
            f"{self.output}: {counted(self.frames, 'frame')}{reused}, "
            f"{counted(self.faces, 'face')}, {counted(self.untouched, 'frame')} unchanged{rate}",
            f"masks: {self.mask_output}; model: {self.model}, iteration {self.iteration}",
            *self.losses,
            f"next: faceloom inspect {self.output}" if is_video else "next: faceloom encode",
        ]


def run(config: MergeConfig, *, progress: Progress, cancel: Cancel) -> MergeResult:
    """Merge all frames of dst; frames finished with the same model and settings are kept.

    Raises `RightsError` if the rights record does not cover the footage, `InputError` if there is
    no model or faceset, `CancelledError` when asked to stop; finished frames are kept then.
    """
    began = time.monotonic()
    workspace = Workspace.open(config.workspace)
    covered = {side: workspace.footage(side) for side in SIDES if workspace.has_footage(side)}
    digest = require_rights(workspace.folder, covered, progress=progress, cancel=cancel)
    folder = find_model(
        workspace.model,
        name=config.name,
        class_name=config.model,
        only=lambda class_name: MODELS[class_name].losses == ("src", "dst"),
    )
    faces = _usable_faces(workspace.aligned_dst, progress)
    footage = open_side(workspace, "dst")
    _note_unused(faces, footage, progress)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    job = _Job(
        config=config,
        workspace=workspace,
        rights_digest=digest,
        footage=footage,
        faces=faces,
        model_name=folder.path.name,
        state=read_state(folder),
        load=lambda: _load_merger(config, folder, footage, device, precision),
        device=device,
        progress=progress,
        cancel=cancel,
    )
    # Our own threads use all cores; PyTorch and OpenCV must not start more.
    with computing(device=device, precision=precision, threads=1), one_opencv_thread():
        output, mask_output = (_merge_to_video if config.to_video else _merge_to_pictures)(job)
    result = MergeResult(
        **asdict(job.counts),
        model=job.model_name,
        iteration=job.state.iteration,
        seconds=time.monotonic() - began,
        output=output,
        mask_output=mask_output,
        losses=list(footage.losses),
    )
    if result.frames > result.reused:
        _record(job, result)
    return result


def _usable_faces(aligned: Path, progress: Progress) -> dict[str, list[FaceRecord]]:
    """The faceset by frame, without faces whose landmarks cannot be aligned."""
    usable: dict[str, list[FaceRecord]] = {}
    faceset = Faceset(aligned) if aligned.is_dir() else ()
    if not len(faceset):
        _require_no_face(aligned)
        progress.note(f"{aligned}: no faces in the footage; all frames are copied unchanged")
    for path, record in faceset:
        try:
            frame_to_face(record.source_landmarks, 64, "full_face")
        except InputError as error:
            progress.note(f"skipping {path.name}: {error}")
            continue
        usable.setdefault(record.source_stem, []).append(record)
    return usable


def _require_no_face(aligned: Path) -> None:
    """`InputError` for an empty faceset, unless extraction searched all frames and found none."""
    done = read_done(aligned)
    if done is None or not done.finished:
        raise InputError(f"{aligned}: no faces; run `faceloom extract dst` first")
    if done.faces:
        raise InputError(
            f"{aligned}: no faces, although {done.faces} were extracted; put them back, or run "
            "`faceloom extract dst --restart`"
        )


def _note_unused(
    faces: Mapping[str, Sequence[FaceRecord]], footage: Footage, progress: Progress
) -> None:
    """Report faces that belong to no frame of the footage."""
    stems = {PurePath(footage.name_of(index)).stem for index in range(len(footage))}
    unused = sorted(faces.keys() - stems)
    if unused and len(unused) == len(faces):
        progress.note(
            f"no frame will get a face: the faces in data_dst/aligned belong to {unused[0]} …, but "
            f"the frames are called {footage.name_of(0)} …; extract dst again"
        )
    elif unused:
        progress.note(
            f"ignoring the faces of {counted(len(unused), 'frame')}: no frame is called {unused[0]}"
        )


def _load_merger(
    config: MergeConfig,
    folder: ModelFolder,
    footage: Footage,
    device: torch.device,
    precision: Precision,
) -> tuple[Merger, ModelState]:
    model, state = load_model(folder, device=device, precision=precision, weights=config.weights)
    size = model.settings.resolution
    on_cpu = device.type == "cpu"
    usual = 4 if on_cpu else 16
    merger = Merger(
        predictor=predictor_of(model, morph=config.morph_factor),
        geometry=FaceGeometry(size, model.settings.face_type),
        settings=_merge_settings(config),
        transform=working_transform(footage.info) if footage.info.hdr else None,
        batch_size=config.batch_size or (usual if size <= 256 else usual // 4),
        workers=worker_count(config.threads),
        predict_in_pool=on_cpu,
    )
    return merger, state


def _merge_settings(config: MergeConfig) -> MergeSettings:
    return MergeSettings(**config.model_dump(include=set(MergeSettings.model_fields)))


def _record(job: _Job, result: MergeResult) -> None:
    append_ledger(
        job.workspace.folder,
        "merge",
        {
            "rights_sha256": job.rights_digest,
            "model": result.model,
            "iteration": result.iteration,
            "settings": _merge_settings(job.config).model_dump(mode="json"),
            "frames": result.frames,
            "faces": result.faces,
            "output": result.output.name,
        },
    )


@dataclass
class _Counts:
    frames: int = 0
    faces: int = 0
    untouched: int = 0
    reused: int = 0

    def add(self, faces: int, *, reused: bool = False) -> None:
        """One more frame."""
        self.frames += 1
        self.faces += faces
        self.untouched += not faces
        self.reused += reused


@dataclass
class _Job:
    """One merge: settings, footage, faces, model and progress."""

    config: MergeConfig
    workspace: Workspace
    rights_digest: str
    footage: Footage
    faces: Mapping[str, Sequence[FaceRecord]]
    """By the stem of their frame."""
    model_name: str
    state: ModelState
    """State of the model as first read; once the model is loaded, the state it was loaded from."""
    load: Callable[[], tuple[Merger, ModelState]]
    """Load the model; called only if there is something to do."""
    device: torch.device
    progress: Progress
    cancel: Cancel
    counts: _Counts = field(default_factory=_Counts)

    @property
    def weights(self) -> str:
        """An identifier of the weights in use."""
        means = self.config.weights != "trained" and EMA_FILE in self.state.files
        return f"{self.state.folder}/mean" if means else self.state.folder

    def load_merger(self) -> Merger:
        """The merger with the model as last saved, which may be newer than `state`."""
        merger, self.state = self.load()
        return merger

    def faces_of(self, name: str) -> Sequence[FaceRecord]:
        """The faces of the frame called `name`."""
        return self.faces.get(PurePath(name).stem, ())

    def announce(self, frames: int, output: Path) -> None:
        """The first note: what will be done."""
        faces = sum(len(found) for found in self.faces.values())
        self.progress.note(
            f"merging {counted(frames, 'frame')} with {counted(faces, 'face')} on {self.device}, "
            f"model {self.model_name} at iteration {self.state.iteration}, to {output}"
        )

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames of the footage, until the merge is cancelled.

        Frames in progress are finished then. The caller checks `cancel` at the end.
        """
        for frame in self.footage.frames(start, stop, native=True):
            if self.cancel.is_set:
                return
            yield frame

    def done(self, faces: int) -> None:
        """Count and report a finished frame."""
        self.counts.add(faces)
        self.progress.advance()
        self.progress.metric(faces=str(self.counts.faces))


def _merge_to_pictures(job: _Job) -> tuple[Path, Path]:
    """Write `merged/<stem>.png` and `merged_mask/<stem>.png` of every frame; return the folders.

    PNG with the bit depth of the footage (8 or 16) and its alpha; masks have one 8-bit channel.
    """
    images, masks = job.workspace.merged, job.workspace.merged_mask
    names = _names(job)
    with MergeJournal(images, masks, forget=job.config.redo) as journal:
        _, finished = _compare(job, journal, names.values())
        if len(finished) < len(names):
            job.announce(len(names) - len(finished), images)
            _make_pictures(job, journal, names)
        else:
            for entry in finished:
                job.counts.add(entry.faces, reused=True)
        if others := journal.remove_others():
            job.progress.note(f"deleted {counted(others, 'merged frame')} of other footage")
    return images, masks


def _names(job: _Job) -> dict[int, str]:
    """Frame number → name, without frames that would overwrite the files of another."""
    names: dict[int, str] = {}
    stems: set[str] = set()
    for index in range(len(job.footage)):
        name = job.footage.name_of(index)
        stem = PurePath(name).stem
        if stem in stems:
            job.progress.note(f"skipping {name}: another frame is called {stem!r}, too")
            continue
        stems.add(stem)
        names[index] = name
    return names


def _compare(
    job: _Job, journal: MergeJournal, names: Iterable[str]
) -> tuple[dict[str, str], list[FrameEntry]]:
    """The key that each frame should have, and the entries of frames that have it."""
    keys = FrameKeys(job.footage.info, job.config, f"{job.model_name}/{job.weights}")
    wanted = {name: keys.key(name, job.faces_of(name)) for name in names}
    found = (journal.finished(name, key) for name, key in wanted.items())
    return wanted, [entry for entry in found if entry is not None]


def _make_pictures(job: _Job, journal: MergeJournal, names: dict[int, str]) -> None:
    """Merge the frames that are not finished; decode from the first to the last of them."""
    merger = job.load_merger()
    # The model may have been saved since; compare with the state that was loaded.
    wanted, finished = _compare(job, journal, names.values())
    for entry in finished:
        job.counts.add(entry.faces, reused=True)
    there = {entry.name for entry in finished}
    missing = [index for index, name in names.items() if name not in there]
    job.progress.start("merge", len(names), "frames", done=len(finished))

    def write(frame: Frame, done: Composite) -> int:
        image_file, mask_file = journal.outputs(frame.name)
        write_image(mask_file, done.mask)
        write_image(image_file, done.image, alpha=frame.alpha)
        return done.faces

    if missing:
        chosen = set(missing)
        frames = job.frames(missing[0], missing[-1] + 1)
        made = MergePipeline(merger, write).run(
            (frame for frame in frames if frame.index in chosen),
            lambda frame: job.faces_of(frame.name),
        )
        for frame, faces in made:
            journal.add(frame.name, wanted[frame.name], faces)
            job.done(faces)
    job.progress.finish()
    job.cancel.check()


def _merge_to_video(job: _Job) -> tuple[Path, Path]:
    """Write the result and a (lossless) video of the masks; return their paths.

    The result has the time stamps, colour tags and audio of the footage, and appears only when it
    is complete and signed. It cannot be resumed: a stopped run starts over.
    """
    config, info = job.config, job.footage.info
    codec = config.codec or default_codec(info)
    audio_from, audio = sound_of(job.workspace, info)
    suffix = default_suffix(codec, info, [track.codec for track in audio])
    target = result_file(job.workspace, config.output, suffix)
    mask_target = target.with_name(f"{target.stem}_mask.mp4")
    for path in (target, mask_target):
        refuse_sources(path, info)
    merger = job.load_merger()
    job.announce(len(job.footage), target)
    job.progress.start("merge to video", len(job.footage), "frames")
    with unsigned_path(target) as unsigned:
        with (
            VideoWriter(
                unsigned,
                info,
                codec=codec,
                crf=config.crf,
                bitrate=config.bitrate,
                threads=config.threads,
                audio_from=audio_from,
            ) as writer,
            VideoWriter(mask_target, mask_like(info), codec="h264-lossless") as masks,
        ):
            pipeline = MergePipeline(merger, lambda _, done: done)
            for frame, done in pipeline.run(job.frames(), lambda frame: job.faces_of(frame.name)):
                writer.write(done.image, frame.time)
                masks.write(done.mask, frame.time)
                job.done(done.faces)
            job.cancel.check()
        for note in writer.notes:
            job.progress.note(note)
        sign_file(
            unsigned,
            workspace_dir=job.workspace.folder,
            rights_digest=job.rights_digest,
            parent=job.workspace.footage("dst"),
            destination=target,
        )
    job.progress.finish()
    return target, mask_target
