"""New pictures go to the faces that they were made of, whatever happens to names meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceloom.core import Cancel, CancelledError, InputError, NullProgress
from faceloom.faces import read_face, read_record
from faceloom.faces.moves.moves import Move, move_faces, undo_moves
from faceloom.stages.faceset.config import FacesetResizeConfig
from faceloom.stages.faceset.resize import FacesetResizeResult, run
from synthetic_faces import write_faceset

COUNT = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_faceset(tmp_path / "aligned", COUNT, size=96)


class Notes(NullProgress):
    """Keeps what is told, and stops after some new pictures."""

    def __init__(self, cancel: Cancel | None = None, after: int = 0) -> None:
        self.told: list[str] = []
        self._cancel, self._left, self._counting = cancel, after, False

    def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
        self._counting = stage.startswith("resize")

    def advance(self, items: int = 1) -> None:
        if self._counting:
            self._left -= 1
            self.seen()
            if self._left == 0 and self._cancel is not None:
                self._cancel.set()

    def seen(self) -> None: ...

    def note(self, message: str) -> None:
        self.told.append(message)


def resize(
    folder: Path,
    progress: NullProgress | None = None,
    cancel: Cancel | None = None,
    *,
    size: int,
    output: Path | None = None,
) -> FacesetResizeResult:
    config = FacesetResizeConfig(faceset=str(folder), threads=1, size=size, output=output)
    return run(config, progress=progress or NullProgress(), cancel=cancel or Cancel())


def reverse_names(folder: Path) -> None:
    """What a sort does: every name stays, and belongs to another face."""
    paths = sorted(folder.glob("*.png"))
    moves = [Move(a, b) for a, b in zip(paths, reversed(paths), strict=True)]
    move_faces(folder, moves, label="reverse")


def sources(folder: Path) -> dict[str, str]:
    return {path.name: read_record(path).source_filename for path in folder.glob("*.png")}


@pytest.mark.parametrize("beside", [False, True])
def test_a_sort_between_two_runs_mixes_no_faces_up(folder: Path, beside: bool) -> None:
    to = folder.parent / "small" if beside else None
    cancel = Cancel()
    with pytest.raises(CancelledError):
        resize(folder, Notes(cancel, after=COUNT // 2), cancel, size=64, output=to)
    reverse_names(folder)
    before = sources(folder)
    resize(folder, size=64, output=to)
    place = to or folder
    assert sources(place) == before
    assert {read_face(place / name)[0].shape[0] for name in before} == {64}


def test_after_an_undo_other_settings_are_free_to_be_tried(folder: Path) -> None:
    resize(folder, size=64)
    first = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    undo_moves(folder)
    notes = Notes()
    resize(folder, notes, size=80)
    assert {read_face(path)[0].shape[0] for path in folder.glob("*.png")} == {80}
    aside = folder.with_name("aligned_resized~2")
    assert {path.name: path.read_bytes() for path in aside.glob("*.png")} == first
    assert any(str(aside) in line for line in notes.told)
    assert not folder.with_name("aligned_resized").exists()


def test_the_same_settings_after_an_undo(folder: Path) -> None:
    resize(folder, size=64)
    undo_moves(folder)
    resize(folder, size=64)
    assert {read_face(path)[0].shape[0] for path in folder.glob("*.png")} == {64}


def test_a_folder_that_was_named_keeps_what_is_in_it(folder: Path, tmp_path: Path) -> None:
    resize(folder, size=64, output=tmp_path / "small")
    with pytest.raises(InputError, match="other settings"):
        resize(folder, size=80, output=tmp_path / "small")


def test_while_faces_are_made_anew_their_names_stay(folder: Path) -> None:
    refused: list[str] = []

    class Sorts(Notes):
        def seen(self) -> None:
            with pytest.raises(InputError) as caught:
                reverse_names(folder)
            refused.append(str(caught.value))

    before = sources(folder)
    resize(folder, Sorts(), size=64)
    assert len(refused) == COUNT
    assert sources(folder) == before


def test_a_face_that_was_renamed_by_hand_meanwhile_is_left_alone(folder: Path) -> None:
    first, second = sorted(folder.glob("*.png"))[:2]
    content = second.read_bytes()

    class Renames(Notes):
        def seen(self) -> None:
            if self._left == -COUNT:
                first.unlink()
                second.rename(first)

    notes = Renames()
    result = resize(folder, notes, size=64)
    assert (result.resized, result.failed) == (COUNT - 2, 2)
    assert first.read_bytes() == content
    assert sum("during the run" in line for line in notes.told) == 2
