"""Two tools, or a tool and a person, at one faceset: no face and no metadata get lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faceloom.core import Cancel, FormatError, InputError, NullProgress
from faceloom.faces import Faceset, read_record
from faceloom.faces.archives.pack import open_pack, read_packed
from faceloom.faces.archives.pack_writer import PackFace, write_pack
from faceloom.faces.files.dfl_form import dfl_form
from faceloom.faces.files.face_file import read_bytes
from faceloom.faces.moves.moves import lock_faces
from faceloom.stages.faceset.config import (
    FacesetImportConfig,
    FacesetMasksConfig,
    FacesetMetadataRestoreConfig,
    FacesetMetadataSaveConfig,
    FacesetPackConfig,
    FacesetUnpackConfig,
)
from faceloom.stages.faceset.masks import run as run_masks
from faceloom.stages.faceset.metadata import run_restore, run_save
from faceloom.stages.faceset.pack import run_pack, run_unpack
from faceloom.stages.faceset.transfer import run_import
from synthetic_faces import write_faceset


class Meanwhile(NullProgress):
    """Does something once when a stage begins, and remembers the notes."""

    def __init__(self, stage: str, act: Callable[[], object]) -> None:
        self.stage, self.act, self.notes = stage, act, list[str]()

    def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
        if stage == self.stage:
            self.act()

    def note(self, text: str) -> None:
        self.notes.append(text)


def do(stage: Any, config: Any, progress: NullProgress | None = None) -> Any:
    return stage(config, progress=progress or NullProgress(), cancel=Cancel())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = write_faceset(tmp_path / "made", 4)
    folder = tmp_path / "aligned"
    folder.mkdir()
    for path in made.glob("*.png"):
        (folder / f"{path.stem}.jpg").write_bytes(dfl_form(path.read_bytes())[0])
    return folder


def jpgs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


def without_metadata(path: Path, size: int | None = None) -> None:
    """As an editor stores it."""
    picture = cv2.imread(str(path))
    if size is not None:
        picture = cv2.resize(picture, (size, size))
    cv2.imwrite(str(path), picture)


# --- packs


def test_a_face_that_is_edited_while_it_is_packed_stays(folder: Path):
    first, second, *_ = sorted(folder.glob("*.jpg"))
    other = second.read_bytes()
    progress = Meanwhile("remove", lambda: first.write_bytes(other))
    packed = do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True), progress)
    assert packed.removed == 3 and jpgs(folder) == [first.name]
    assert first.read_bytes() == other, "not in the pack: this was the only copy"
    assert any(first.name in note and "stays" in note for note in progress.notes)


def test_a_pack_that_is_replaced_while_it_is_unpacked_stays(folder: Path):
    do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
    pack, spare = folder / "faceset.pak", folder.with_name("spare.jpg")
    spare.write_bytes(read_packed(pack, "00001_0.jpg", most=1 << 20))

    def replace() -> None:
        new = folder.with_name("new.pak")
        write_pack(new, [PackFace(spare, "only_here.jpg")])
        new.replace(pack)

    progress = Meanwhile("unpack", replace)
    with pytest.raises(InputError, match="has no face"):
        do(run_unpack, FacesetUnpackConfig(faceset=str(folder)), progress)
    assert open_pack(pack).names == ("only_here.jpg",)


def test_a_pack_is_read_by_the_table_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Another pack has taken its place between the table and the picture."""
    faces = [PackFace(path, path.name) for path in sorted(folder.glob("*.jpg"))]
    pack, new = folder.with_name("x.pak"), folder.with_name("y.pak")
    write_pack(pack, faces)
    old = open_pack(pack)
    write_pack(new, faces[::-1])
    new.replace(pack)
    with pytest.raises(FormatError, match="changed while it was read"):
        old.read(0)
    tables: list[Any] = []
    current = open_pack
    monkeypatch.setattr(
        "faceloom.faces.archives.pack.open_pack",
        lambda path: tables.pop() if tables else current(path),
    )
    for face in faces:
        tables.append(old)
        assert read_packed(pack, face.name, most=1 << 20) == face.path.read_bytes()
        tables.clear()


def test_names_that_only_capitals_tell_apart_are_not_packed(folder: Path):
    """They could not be unpacked everywhere, and the loose files would be gone."""
    face = folder / "00001_0.jpg"
    (folder / "00001_0.JPG").write_bytes(face.read_bytes())
    if len(list(folder.iterdir())) < 5:
        pytest.skip("capitals do not matter on this file system")
    with pytest.raises(InputError, match="ignoring case"):
        do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
    assert len(Faceset(folder)) == 5


def test_tools_that_rewrite_faces_wait_for_nobody(folder: Path, tmp_path: Path):
    do(run_save, FacesetMetadataSaveConfig(faceset=str(folder)))
    tools: list[tuple[Any, Any]] = [
        (run_pack, FacesetPackConfig(faceset=str(folder), remove=True)),
        (run_unpack, FacesetUnpackConfig(faceset=str(folder), archive=tmp_path / "x.zip")),
        (run_import, FacesetImportConfig(faceset=str(folder), source=tmp_path / "made")),
        (run_restore, FacesetMetadataRestoreConfig(faceset=str(folder))),
    ]
    do(run_pack, FacesetPackConfig(faceset=str(folder), format="zip"))
    folder.with_name("aligned.zip").rename(tmp_path / "x.zip")
    before = {path: path.read_bytes() for path in folder.glob("*.jpg")}
    with lock_faces(folder):
        for tool, config in tools:
            with pytest.raises(InputError, match="another process is moving or rewriting"):
                do(tool, config)
        # Reading is free.
        assert do(run_pack, FacesetPackConfig(faceset=str(folder), format="zip")).faces == 4
    assert {path: path.read_bytes() for path in folder.glob("*.jpg")} == before


def test_another_tools_unfinished_file_is_left_to_it(folder: Path):
    """A zip file is made beside the faceset: nothing in it is touched."""
    unfinished = folder / ".tmp-1-abc-00009_0.jpg"
    unfinished.write_text("an extraction is writing this")
    do(run_pack, FacesetPackConfig(faceset=str(folder), format="zip"))
    assert unfinished.exists()


def test_long_names_of_people_and_faces_are_taken_over_short(folder: Path, tmp_path: Path):
    face = folder / "00001_0.jpg"
    name = "é" * 100 + ".jpg"
    write_pack(
        tmp_path / "x.pak", [PackFace(face, name, "p" * 200), PackFace(face, name, "p" * 201)]
    )
    (tmp_path / "x.jpg").write_bytes((folder / "00002_0.jpg").read_bytes())
    target = tmp_path / "imported"
    done = do(run_import, FacesetImportConfig(faceset=str(target), source=tmp_path / "x.pak"))
    assert done.faces == 2 and len(jpgs(target)) == 1  # the same face twice
    assert (target / jpgs(target)[0]).read_bytes() == face.read_bytes()


def test_a_target_that_is_a_file_is_one_line(folder: Path, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    for tool, config in (
        (run_import, FacesetImportConfig(faceset=str(tmp_path / "file"), source=folder)),
    ):
        with pytest.raises(InputError, match="cannot be created"):
            do(tool, config)


# --- metadata


@pytest.mark.parametrize("kind", ["faceloom", "dfl"])
def test_saving_again_after_editing_loses_nothing(folder: Path, kind: Any):
    before = {path.name: read_record(path).source_landmarks for path in folder.glob("*.jpg")}
    do(run_save, FacesetMetadataSaveConfig(faceset=str(folder), format=kind))
    for path in sorted(folder.glob("*.jpg"))[:2]:
        without_metadata(path)
    saved = do(run_save, FacesetMetadataSaveConfig(faceset=str(folder), format=kind))
    assert saved.faces == 2
    assert do(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder))).restored == 2
    after = {path.name: read_record(path).source_landmarks for path in folder.glob("*.jpg")}
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_a_face_is_not_given_the_metadata_of_another_of_its_stem(tmp_path: Path):
    made = write_faceset(tmp_path / "made", 2)
    jpg, png = made / "00001_0.jpg", made / "00001_0.png"
    jpg.write_bytes(dfl_form((made / "00002_0.png").read_bytes())[0])
    do(run_save, FacesetMetadataSaveConfig(faceset=str(made)))
    before = png.read_bytes()
    jpg.unlink()
    done = do(run_restore, FacesetMetadataRestoreConfig(faceset=str(made)))
    assert png.read_bytes() == before
    assert (done.restored, done.gone) == (0, 1)


def test_a_saved_size_that_no_face_has_is_refused(folder: Path):
    do(run_save, FacesetMetadataSaveConfig(faceset=str(folder), format="faceloom"))
    file = folder / "faceloom_meta.jsonl"
    sides = cv2.imread(str(folder / "00001_0.jpg")).shape[:2]
    file.write_text(file.read_text().replace(f'"size": {list(sides)}', '"size": [65000, 65000]'))
    with pytest.raises(FormatError, match="65000"):
        do(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder)))


# --- pictures that claim to be huge


def test_no_mask_of_a_picture_that_nobody_could_decode(folder: Path):
    face = folder / "00001_0.jpg"
    data = bytearray(face.read_bytes())
    start = data.find(b"\xff\xc0") + 5
    data[start : start + 4] = (60_000).to_bytes(2, "big") * 2
    face.write_bytes(data)
    done = do(run_masks, FacesetMasksConfig(faceset=str(folder), source="hull"))
    assert (done.written, done.failed) == (3, 1)
    assert len(read_bytes(face)) == len(data)
