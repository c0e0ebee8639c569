"""All features at once, killed anywhere: a resumed run writes what an uninterrupted one does."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.core import Cancel, NullProgress
from faceloom.detect import FaceFinder
from faceloom.faces import Faceset, read_record
from faceloom.media import open_footage, write_image
from faceloom.stages.extract.journal import JOURNAL_NAME
from faceloom.stages.extract.run import ExtractConfig, ExtractResult, run
from faceloom.workspace.layout import create_workspace, set_footage

ORDER = [*range(22), *range(60, 66), *range(110, 120), *range(30, 44)]
"""A woman, nobody, a man, the woman again."""
HIDDEN = range(8, 11)
"""Frames in which nothing is found at first, so that a gap is filled."""
SETTINGS: dict[str, object] = {
    "tracking": "on",
    "image_size": "estimated",
    "detector": "yunet,centerface",
    "face_type": "full_face",
}


@pytest.fixture(scope="module", autouse=True)
def _gap(need_weights: object) -> object:
    need_weights("yunet", "face-landmarker", "sface", "centerface")  # type: ignore[operator]
    seen = FaceFinder.find

    def blind(self, image, previous=(), **settings):  # type: ignore[no-untyped-def]
        hidden = settings.get("frame_index") in HIDDEN and settings.get("detections") != []
        return [] if hidden else seen(self, image, previous, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaceFinder, "find", blind)
        yield


@pytest.fixture(scope="module")
def whole(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extraction of one person that was killed right before its end, next to its footage."""
    folder = tmp_path_factory.mktemp("everything")
    pictures = folder / "pictures"
    pictures.mkdir()
    clip = open_footage(media / "awkward" / "cuts_face_noface_other_face.mp4")
    for number, index in enumerate(ORDER):
        small = cv2.resize(clip.frame(index).image, None, fx=0.75, fy=0.75)
        write_image(pictures / f"{number:03d}.png", np.asarray(small, np.uint8))
    shutil.copy(pictures / "004.png", folder / "her.png")
    set_footage(create_workspace(folder / "w"), "dst", pictures)
    with pytest.MonkeyPatch.context() as patch:
        finish = "faceloom.stages.extract.journal.Journal.finish"
        patch.setattr(finish, lambda _: None)
        result = extract(folder, folder)
    assert (result.frames, result.tracks, result.joined, result.filled) == (52, 2, 1, 3)
    assert (result.faces, result.left_out) == (36, 10)
    return folder


def extract(folder: Path, source: Path) -> ExtractResult:
    who = str(source / "her.png")
    values = {"workspace": folder / "w", "side": "dst", "who": who, **SETTINGS}
    return run(ExtractConfig.model_validate(values), progress=NullProgress(), cancel=Cancel())


def faces_in(folder: Path) -> dict[str, bytes]:
    aligned = folder / "w" / "data_dst" / "aligned"
    return {path.name: path.read_bytes() for path in sorted(aligned.glob("*.jpg"))}


def test_the_footage_asks_for_everything(whole: Path) -> None:
    records = [record for _, record in Faceset(whole / "w/data_dst/aligned", use_index=False)]
    assert {record.own.track for record in records if record.own} == {0}
    assert {record.own.detector for record in records if record.own} >= {"gap"}
    assert [int(r.source_stem) for r in records] == [*range(22), *range(38, 52)]


@pytest.mark.parametrize("lines", [9, 21, 40])
def test_a_kill_anywhere_changes_nothing(whole: Path, tmp_path: Path, lines: int) -> None:
    expected = faces_in(whole)
    folder = Path(shutil.copytree(whole, tmp_path / "killed"))
    set_footage(create_workspace(folder / "w"), "dst", whole / "pictures")
    aligned = folder / "w" / "data_dst" / "aligned"
    journal = aligned / JOURNAL_NAME
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[: 1 + lines]))
    # The writers were two frames ahead of the journal, one of them in the middle of a file.
    for path in sorted(aligned.glob("*.jpg")):
        if read_record(path).own.frame_index >= lines + 2:  # type: ignore[union-attr]
            path.unlink()
    (aligned / ".tmp-1-abc-050_0.jpg").write_bytes(b"half")
    result = extract(folder, whole)
    assert result.resumed_at == lines
    assert (result.faces, result.left_out, result.filled, result.joined) == (36, 10, 3, 1)
    assert faces_in(folder) == expected
    assert not list(aligned.glob(".tmp-*"))
