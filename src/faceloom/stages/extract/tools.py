"""What an extraction works with: networks, whom it looks for, and who writes the faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from faceloom.core import InputError, Progress, WeightsError
from faceloom.core.words import counted
from faceloom.detect import FaceFinder, open_finder, read_manual
from faceloom.faces import FaceSuffix
from faceloom.identify import Identifier
from faceloom.media import Footage
from faceloom.stages.extract.begin import follows
from faceloom.stages.extract.config import ExtractConfig
from faceloom.stages.extract.faces import FaceWriter
from faceloom.stages.extract.tracks import Wanted
from faceloom.stages.extract.who import wanted_person
from faceloom.workspace.layout import Workspace


@dataclass(frozen=True)
class Tools:
    """What finds faces, and says whose they are."""

    finder: FaceFinder
    identifier: Identifier | None
    wanted: Wanted | None


def open_tools(
    config: ExtractConfig, workspace: Workspace, footage: Footage, progress: Progress
) -> Tools:
    """The networks of an extraction. Raises `WeightsError` when one cannot be had, `InputError`
    when nobody answers to `who`, or faces are given for frames that are not there."""
    finder = _finder(config, progress)
    if config.manual_file is not None:
        _check_frames(config.manual_file, footage)
    joins = config.join and follows(config, footage)
    if not joins and config.who is None:
        return Tools(finder, None, None)
    try:
        identifier = Identifier(progress=progress)
    except WeightsError as error:
        if config.who is not None:
            raise
        raise WeightsError(f"{error}; --no-join extracts without it") from None
    wanted = None
    if config.who is not None:
        wanted = wanted_person(config.who, workspace, finder, identifier, progress)
    return Tools(finder, identifier, wanted)


def _finder(config: ExtractConfig, progress: Progress) -> FaceFinder:
    return open_finder(
        config.detector,
        config.landmarker,
        long_side_px=config.detector_size,
        min_face_px=config.min_face_px,
        turns=config.turns,
        manual_file=config.manual_file,
        progress=progress,
    )


def _check_frames(file: Path, footage: Footage) -> None:
    """`InputError` for a file of faces with frames that the footage has not: misspelt ones."""
    given = read_manual(file)
    stems = {PurePath(footage.name_of(index)).stem for index in range(len(footage))}
    wrong = [name for name in given.by_name if name not in stems]
    wrong += [f"index {index}" for index in given.by_index if index >= len(footage)]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        frames = counted(len(footage), "frame")
        raise InputError(f"{file}: {wrong[0]}{more} is none of the {frames} of {footage.info.path}")


def open_writer(config: ExtractConfig, workspace: Workspace, footage: Footage) -> FaceWriter:
    debug_folder = workspace.aligned_debug(config.side) if config.debug else None
    if debug_folder is not None:
        debug_folder.mkdir(parents=True, exist_ok=True)
    suffix: FaceSuffix = ".png" if config.format == "png" else ".jpg"
    return FaceWriter(
        folder=workspace.aligned(config.side),
        debug_folder=debug_folder,
        face_type=config.face_type,
        size_px=config.size_px,
        suffix=suffix,
        jpeg_quality=config.jpeg_quality,
        pixel_aspect=footage.info.pixel_aspect,
    )
