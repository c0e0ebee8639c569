"""Coverage advice: what dst shows that src lacks, as a page, a picture and in words."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from faceloom.core import (
    Cancel,
    FaceloomError,
    InputError,
    MediaError,
    Progress,
    atomic_write,
)
from faceloom.core.vocabulary import SIDES
from faceloom.core.words import counted
from faceloom.curate import FaceTable
from faceloom.curate.coverage.advice import Advice, Gap, advise
from faceloom.curate.coverage.chart import chart
from faceloom.curate.coverage.compare import DIMENSIONS, Coverage, CoverageSettings, compare
from faceloom.curate.coverage.drawing import to_pixels
from faceloom.curate.coverage.page import page
from faceloom.curate.measures.traits import TRAIT_COLUMNS, traits
from faceloom.faces import read_face
from faceloom.faces.moves.moves import Move, move_faces
from faceloom.stages.measure.run import measure_faces
from faceloom.workspace.faceset import (
    beside,
    faceset_folder,
    held_for_moves,
    refuse_empty,
    undo_command,
)

PAGE_NAME = "coverage.html"
PICTURE_NAME = "coverage.png"
_TRASH = "trash"
_THUMB_PX = 192
_THUMBS = 6
_THUMBED_GAPS = 40


class CoverageConfig(CoverageSettings):
    """Which facesets to compare, when a face counts as covered, and what to write."""

    workspace: Path = Path()
    """The workspace."""
    src: str = "src"
    """The faces that are trained: src, or a folder of faces."""
    dst: str = "dst"
    """The faces that are to be replaced: dst, or a folder of faces."""
    html: Path | None = None
    """The page; unset: coverage.html in the workspace."""
    png: Path | None = None
    """The picture; unset: coverage.png in the workspace."""
    trash_unused: bool = False
    """Move src faces that look where no dst face does to `aligned_trash`."""
    workers: int = Field(default=0, ge=0, le=64)
    """Processes that measure; 0: one for each core."""


@dataclass(frozen=True, eq=False)
class CoverageResult:
    """What came out, and where it was written."""

    coverage: Coverage
    advice: Advice
    src: FaceTable
    dst: FaceTable
    html: Path
    png: Path
    moved: int
    """src faces that were moved to the trash."""
    undo: str
    """The command that takes it back."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        shares = {name: _finite(self.coverage.share(name)) for name in DIMENSIONS}
        return {
            "src": {"folder": str(self.src.folder), "faces": len(self.src)},
            "dst": {"folder": str(self.dst.folder), "faces": len(self.dst)},
            "score": _finite(self.coverage.score),
            "score_with_light": _finite(self.coverage.score_lit),
            "shares": shares,
            "gaps": [self._gap(gap) for gap in self.advice.gaps],
            "scattered": self.advice.scattered,
            "useless": [self.src.paths[row].name for row in self.advice.useless],
            "settings": self.coverage.settings.model_dump(
                include=set(CoverageSettings.model_fields)
            ),
            "html": str(self.html),
            "png": str(self.png),
            "moved": self.moved,
            "undo": self.undo,
        }

    def _gap(self, gap: Gap) -> dict[str, Any]:
        return {
            "dimension": gap.dimension,
            "share": gap.share,
            "finding": gap.finding,
            "shot": gap.shot,
            "faces": [self.dst.paths[row].name for row in gap.faces],
        }

    def lines(self) -> list[str]:
        """For people."""
        lines = self.advice.lines()
        if self.moved:
            trash = beside(self.src.folder, _TRASH)
            lines.append(f"{counted(self.moved, 'face')} moved to {trash}")
            lines.append(f"`{self.undo}` brings them back")
        return [*lines, f"heat maps: {self.html} and {self.png}"]


def run(config: CoverageConfig, *, progress: Progress, cancel: Cancel) -> CoverageResult:
    """Compare two facesets and write the page and the picture.

    What was measured before is not measured again, so a stopped run goes on. Raises `InputError`
    for facesets that are missing or empty and files that cannot be written, `WeightsError` when a
    network cannot be had, `CancelledError` on `cancel`.
    """
    folders = [faceset_folder(config.workspace, name) for name in (config.src, config.dst)]
    with held_for_moves(folders[0], wanted=config.trash_unused) as hold:
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
            folder, TRAIT_COLUMNS, workers=config.workers, progress=progress, cancel=cancel
        )
        for folder in folders
    )
    for table in (src, dst):
        refuse_empty(table.folder, len(table), len(table.strangers))
    coverage = compare(traits(src), traits(dst), config, progress=progress, cancel=cancel)
    advice = advise(coverage)
    title = f"Does {_name(config, src, config.src)} cover {_name(config, dst, config.dst)}?"
    html = config.html or config.workspace / PAGE_NAME
    png = config.png or config.workspace / PICTURE_NAME
    _write_png(png, to_pixels(chart(coverage, title)))
    text = page(
        coverage,
        advice,
        title=title,
        thumbs=[_thumbs(dst, gap, shown) for shown, gap in enumerate(advice.gaps)],
        useless=[src.paths[row].name for row in advice.useless],
    )
    _write(html, text.encode())
    hold.close()
    moved = _to_trash(src, advice, progress, cancel) if config.trash_unused else 0
    undo = undo_command(config.workspace, config.src)
    return CoverageResult(coverage, advice, src, dst, html, png, moved, undo)


def _name(config: CoverageConfig, table: FaceTable, word: str) -> str:
    """`src of cast`, or the folder's name."""
    if word in SIDES:
        workspace = config.workspace.resolve().name
        return f"{word} of {workspace}"
    folder = table.folder.resolve()
    return folder.parent.parent.name if folder.name == "aligned" else folder.name


def _thumbs(dst: FaceTable, gap: Gap, shown: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Some of a gap's faces from all over the footage; one that cannot be read is left out."""
    if shown >= _THUMBED_GAPS:
        return []
    rows = np.sort(gap.faces)
    picked = rows[np.unique(np.linspace(0, len(rows) - 1, _THUMBS).round().astype(np.intp))]
    thumbs: list[tuple[str, NDArray[np.uint8]]] = []
    for row in picked.tolist():
        try:
            image, _ = read_face(dst.paths[row])
        except FaceloomError:
            continue
        small = cv2.resize(image, (_THUMB_PX, _THUMB_PX), interpolation=cv2.INTER_AREA)
        thumbs.append((dst.paths[row].name, np.asarray(small, dtype=np.uint8)))
    return thumbs


def _to_trash(src: FaceTable, advice: Advice, progress: Progress, cancel: Cancel) -> int:
    if not len(advice.useless):
        return 0
    trash = beside(src.folder, _TRASH)
    moves = [Move(src.paths[row], trash / src.paths[row].name) for row in advice.useless]
    label = "drop faces of no use for dst"
    return move_faces(src.folder, moves, label=label, progress=progress, cancel=cancel).moved


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise MediaError(f"{path}: the chart cannot be encoded")
    _write(path, data.tobytes())


def _write(path: Path, data: bytes) -> None:
    try:
        atomic_write(path, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
