"""Coverage: which dst faces have no similar src face, in words, as a report and as a picture."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, FaceloomError, Progress
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES
from faceloom.core.words import counted
from faceloom.curate import FaceTable
from faceloom.curate.coverage import (
    DIMENSIONS,
    LEFT_AND_RIGHT,
    Advice,
    Dimension,
    Gap,
    advise,
    charts_png,
    compare,
    html_report,
    percent,
    scattered_words,
)
from faceloom.curate.measures import TRAIT_COLUMNS, traits_of
from faceloom.faces import Move, move_faces, read_face
from faceloom.settings.curate import CoverageSettings
from faceloom.stages.curate.config import CoverageConfig
from faceloom.stages.curate.shared import spread, write_file
from faceloom.stages.measure import measure_faces
from faceloom.workspace import (
    faceset_folder,
    lock_for_moves,
    refuse_empty,
    sibling,
    undo_command,
)

__all__ = ["CoverageConfig", "CoverageResult", "run"]

HTML_NAME: Final = "coverage.html"
PNG_NAME: Final = "coverage.png"
_THUMB_PX: Final = 192
_THUMBS_PER_GAP: Final = 6
_GAPS_WITH_THUMBS: Final = 40


@dataclass(frozen=True)
class ComparedFaceset:
    """One of the two facesets."""

    folder: Path
    faces: int


@dataclass(frozen=True)
class GapRow:
    """Something that dst shows and src lacks."""

    dimension: Dimension
    share: float
    """Share of dst's faces."""
    finding: str
    shot: str
    """What footage to look for."""
    faces: tuple[str, ...]
    """File names of the uncovered dst faces, most typical first."""


@dataclass(frozen=True)
class CoverageResult(Result):
    """How well src covers dst, and where the report is."""

    src: ComparedFaceset
    dst: ComparedFaceset
    score: float
    """Share of dst's faces for which src has pose and expression in the same faces; NaN without
    any known pose."""
    score_with_light: float
    shares: dict[Dimension, float]
    """Share covered in each dimension by itself."""
    summary: tuple[str, ...]
    gaps: tuple[GapRow, ...]
    """By the number of dst faces, most first."""
    scattered: int
    """Uncovered dst faces that belong to no gap."""
    unused: tuple[str, ...]
    """File names of src faces whose head pose no dst face has."""
    settings: dict[str, Any]
    html: Path
    png: Path
    moved: int
    """Unused src faces that were moved to the trash."""
    undo: str
    """The command that moves them back."""

    def lines(self) -> list[str]:
        """The text for people."""
        lines = list(self.summary)
        if self.gaps:
            lines.append("What dst shows and src lacks, most frequent first:")
        for number, gap in enumerate(self.gaps, 1):
            lines.append(f"{number}. {percent(gap.share)}: {gap.finding}")
            lines.append(f"   Look for: {gap.shot}")
        if self.scattered:
            lines.append(scattered_words(self.scattered))
        if self.gaps:
            lines.append(LEFT_AND_RIGHT)
        if self.moved:
            trash = sibling(self.src.folder, "trash")
            lines.append(f"{counted(self.moved, 'unused face')} of src moved to {trash}")
            lines.append(f"to undo: `{self.undo}`")
        return [*lines, f"report: {self.html}; charts as a picture: {self.png}"]


def run(config: CoverageConfig, *, progress: Progress, cancel: Cancel) -> CoverageResult:
    """Compare two facesets and write the report and the picture.

    Measures are kept, so a stopped run resumes. Raises `InputError` for facesets that are missing
    or empty and files that cannot be written, `WeightsError` when a network is not available,
    `CancelledError` on `cancel`.
    """
    folders = [faceset_folder(config.workspace, name) for name in (config.src, config.dst)]
    with lock_for_moves(folders[0], wanted=config.trash_unused) as hold:
        return _compare(config, folders, hold, progress, cancel)


def _compare(
    config: CoverageConfig,
    folders: list[Path],
    hold: ExitStack,
    progress: Progress,
    cancel: Cancel,
) -> CoverageResult:
    src, dst = (
        measure_faces(
            folder, TRAIT_COLUMNS, workers=config.threads, progress=progress, cancel=cancel
        )
        for folder in folders
    )
    for table in (src, dst):
        refuse_empty(table.folder, len(table), len(table.strangers))
    settings = config.model_dump(include=set(CoverageSettings.model_fields))
    coverage = compare(
        traits_of(src),
        traits_of(dst),
        CoverageSettings(**settings),
        progress=progress,
        cancel=cancel,
    )
    advice = advise(coverage)
    unused = tuple(src.paths[row].name for row in advice.unused)
    title = f"Does {_name(config, src, config.src)} cover {_name(config, dst, config.dst)}?"
    html = config.html or config.workspace / HTML_NAME
    png = config.png or config.workspace / PNG_NAME
    write_file(png, charts_png(coverage, title))
    thumbs = [_thumbs(dst, gap) for gap in advice.gaps[:_GAPS_WITH_THUMBS]]
    write_file(html, html_report(coverage, advice, title=title, thumbs=thumbs, unused=unused))
    hold.close()
    moved = _move_unused(src, advice, progress, cancel) if config.trash_unused else 0
    return CoverageResult(
        src=ComparedFaceset(src.folder, len(src)),
        dst=ComparedFaceset(dst.folder, len(dst)),
        score=coverage.score,
        score_with_light=coverage.score_lit,
        shares={name: coverage.share(name) for name in DIMENSIONS},
        summary=tuple(advice.summary),
        gaps=tuple(
            GapRow(
                gap.dimension,
                gap.share,
                gap.finding,
                gap.shot,
                tuple(dst.paths[row].name for row in gap.faces),
            )
            for gap in advice.gaps
        ),
        scattered=advice.scattered,
        unused=unused,
        settings=settings,
        html=html,
        png=png,
        moved=moved,
        undo=undo_command(config.workspace, config.src),
    )


def _name(config: CoverageConfig, table: FaceTable, word: str) -> str:
    """`src of cast`, or the folder's name."""
    if word in SIDES:
        return f"{word} of {config.workspace.resolve().name}"
    folder = table.folder.resolve()
    return folder.parent.parent.name if folder.name == "aligned" else folder.name


def _thumbs(dst: FaceTable, gap: Gap) -> list[tuple[str, NDArray[np.uint8]]]:
    """Some of a gap's faces from all over the footage; unreadable ones are left out."""
    rows = np.sort(gap.faces)
    thumbs: list[tuple[str, NDArray[np.uint8]]] = []
    for row in rows[spread(len(rows), _THUMBS_PER_GAP)].tolist():
        try:
            image, _ = read_face(dst.paths[row])
        except FaceloomError:
            continue
        small = cv2.resize(image, (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA)
        thumbs.append((dst.paths[row].name, np.asarray(small, dtype=np.uint8)))
    return thumbs


def _move_unused(src: FaceTable, advice: Advice, progress: Progress, cancel: Cancel) -> int:
    if not len(advice.unused):
        return 0
    trash = sibling(src.folder, "trash")
    moves = [Move(src.paths[row], trash / src.paths[row].name) for row in advice.unused]
    label = "drop faces that dst does not need"
    return move_faces(src.folder, moves, label=label, progress=progress, cancel=cancel).moved
