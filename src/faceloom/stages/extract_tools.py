"""What an extraction works with: networks, whom it looks for, and who writes the faces."""

from __future__ import annotations

from dataclasses import dataclass

from faceloom.core import Progress, WeightsError
from faceloom.detect import FaceFinder, open_finder
from faceloom.faces import FaceSuffix
from faceloom.identify import Identifier
from faceloom.media import Footage
from faceloom.stages.extract_begin import follows
from faceloom.stages.extract_config import ExtractConfig
from faceloom.stages.extract_faces import FaceWriter
from faceloom.stages.extract_tracks import Wanted
from faceloom.stages.extract_who import wanted_person
from faceloom.stages.workspace import Workspace


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
    when nobody answers to `who`."""
    finder = _finder(config, progress)
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
