"""Packing, metadata, import and export from end to end, by the command line where users meet it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from dfl_packs import dfl_config, dfl_open_pack, dfl_pack
from faceloom.cli.main import run_command
from faceloom.core import Cancel, FormatError, InputError, NullProgress
from faceloom.faces import Faceset, Move, move_faces, read_face, read_record, undo_moves
from faceloom.faces.files.dfl_form import dfl_form
from faceloom.samples import load_samples
from faceloom.stages.faceset.config import (
    FacesetExportConfig,
    FacesetImportConfig,
    FacesetMetadataRestoreConfig,
    FacesetMetadataSaveConfig,
    FacesetPackConfig,
    FacesetUnpackConfig,
)
from faceloom.stages.faceset.metadata import run_restore, run_save
from faceloom.stages.faceset.pack import run_pack, run_unpack
from faceloom.stages.faceset.transfer import run_export, run_import
from faceloom.stages.merge.run import _usable_faces
from killed_writes import Killed, killer
from synthetic_faces import write_faceset


def do(stage: Any, config: Any) -> Any:
    return stage(config, progress=NullProgress(), cancel=Cancel())


def contents(folder: Path) -> dict[str, bytes]:
    """Relative names and contents of all but what Faceloom keeps for itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".faceloom" not in path.as_posix()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five faces as DFL has them."""
    made = write_faceset(tmp_path / "made", 5)
    folder = tmp_path / "aligned"
    folder.mkdir()
    for path in made.glob("*.png"):
        (folder / f"{path.stem}.jpg").write_bytes(dfl_form(path.read_bytes())[0])
    return folder


def test_pack_and_unpack_give_back_the_same_files(folder: Path):
    before = contents(folder)
    packed = do(run_pack, FacesetPackConfig(faceset=str(folder)))
    assert packed.faces == 5 and packed.removed == 0
    assert set(contents(folder)) == {*before, "faceset.pak"}
    packed = do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
    assert packed.removed == 5 and list(contents(folder)) == ["faceset.pak"]
    assert {c["filename"]: data for c, data in dfl_open_pack(folder / "faceset.pak")} == before
    pak = (folder / "faceset.pak").read_bytes()
    unpacked = do(run_unpack, FacesetUnpackConfig(faceset=str(folder), keep=True))
    assert (unpacked.faces, unpacked.written, unpacked.removed) == (5, 5, None)
    unpacked = do(run_unpack, FacesetUnpackConfig(faceset=str(folder)))
    assert (unpacked.written, unpacked.removed) == (0, folder / "faceset.pak")
    assert contents(folder) == before
    do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
    assert (folder / "faceset.pak").read_bytes() == pak


def test_training_and_merging_open_a_packed_faceset(folder: Path):
    def load() -> Any:
        return load_samples(
            folder, size_px=64, face_type="full_face", device=torch.device("cpu"), threads=2
        )

    loose, frames = load(), {record.source_stem: record for _, record in Faceset(folder)}
    do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
    packed = load()
    assert packed.names == loose.names and packed.digest == loose.digest
    assert torch.equal(packed.planes, loose.planes)
    again = {record.source_stem: record for _, record in Faceset(folder)}
    assert list(again) == list(frames) and len(frames) == 5
    for stem, known in again.items():
        assert (known.source_landmarks == frames[stem].source_landmarks).all()
    assert list(_usable_faces(folder, NullProgress())) == list(frames)


def test_packing_again_adds_what_is_new(folder: Path):
    do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
    path = folder / "00002_0.jpg"
    path.write_bytes(dfl_form(read(folder / "faceset.pak" / "00004_0.jpg"))[0])
    (folder / "new.jpg").write_bytes(path.read_bytes())
    packed = do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
    assert (packed.faces, packed.removed) == (6, 2)
    found = {c["filename"]: data for c, data in dfl_open_pack(folder / "faceset.pak")}
    assert found["00002_0.jpg"] == found["new.jpg"] == found["00004_0.jpg"]
    assert list(contents(folder)) == ["faceset.pak"]


def read(path: Path) -> bytes:
    from faceloom.faces.files.face_file import read_bytes

    return read_bytes(path)


@pytest.mark.parametrize("stage", ["pack", "unpack"])
def test_a_kill_at_any_moment_loses_no_face(folder: Path, stage: str):
    before = contents(folder)
    if stage == "unpack":
        do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
    for changes in range(200):
        try:
            with killer().after(changes):
                if stage == "pack":
                    do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
                else:
                    do(run_unpack, FacesetUnpackConfig(faceset=str(folder)))
            break
        except (Killed, InputError):
            there = {path.name: read(path) for path in Faceset(folder, use_index=False).paths}
            assert there == before
    else:
        raise AssertionError("it never came to its end")
    assert changes > 5
    assert {p.name: read(p) for p in Faceset(folder, use_index=False).paths} == before
    assert len(contents(folder)) == (1 if stage == "pack" else 5)


def test_persons_are_packed_by_folder_and_unpacked_into_them(folder: Path):
    for i, person in enumerate(("anna", "ben")):
        (folder / person).mkdir()
        for path in list(folder.glob("*.jpg"))[: 2 - i]:
            path.rename(folder / person / "same.jpg" if i else folder / person / path.name)
    before = contents(folder)
    progress = NullProgress()
    run_pack(FacesetPackConfig(faceset=str(folder)), progress=progress, cancel=Cancel())
    assert any("--persons" in note for note in progress.notes)
    do(run_pack, FacesetPackConfig(faceset=str(folder), persons=True, remove=True))
    assert list(contents(folder)) == ["faceset.pak"]
    people = [config["person_name"] for config, _ in dfl_open_pack(folder / "faceset.pak")]
    assert sorted(map(str, people)) == ["None", "None", "anna", "anna", "ben"]
    assert len(Faceset(folder)) == 5
    do(run_unpack, FacesetUnpackConfig(faceset=str(folder)))
    assert contents(folder) == before


def test_zip_files_both_ways(folder: Path, tmp_path: Path):
    before = contents(folder)
    made = do(run_pack, FacesetPackConfig(faceset=str(folder), format="zip"))
    assert made.output == tmp_path / "aligned.zip" and contents(folder) == before
    with zipfile.ZipFile(made.output) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == before
    target = tmp_path / "other"
    do(run_unpack, FacesetUnpackConfig(faceset=str(target), archive=made.output))
    assert contents(target) == before and made.output.exists()
    with pytest.raises(InputError, match="exists already"):
        do(run_pack, FacesetPackConfig(faceset=str(folder), format="zip"))
    with pytest.raises(InputError, match="does not"):
        do(run_pack, FacesetPackConfig(faceset=str(folder), format="zip", remove=True))


def test_unpacking_overwrites_nothing(folder: Path):
    do(run_pack, FacesetPackConfig(faceset=str(folder)))
    other = folder / "00003_0.jpg"
    other.write_bytes((folder / "00001_0.jpg").read_bytes())
    (folder / "00001_0.jpg").unlink()
    with pytest.raises(InputError, match=r"00003_0\.jpg: exists already"):
        do(run_unpack, FacesetUnpackConfig(faceset=str(folder)))
    assert not (folder / "00001_0.jpg").exists()
    empty = folder.parent / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"no faceset\.pak there"):
        do(run_unpack, FacesetUnpackConfig(faceset=str(empty)))
    with pytest.raises(InputError, match="no faces to pack"):
        do(run_pack, FacesetPackConfig(faceset=str(empty)))


def test_nothing_is_unpacked_through_links(folder: Path, tmp_path: Path):
    files = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    configs = [dfl_config(f"{i}.jpg", person_name="anna") for i in range(5)]
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "anna").symlink_to(outside)
    (target / "faceset.pak").write_bytes(dfl_pack(configs, files))
    with pytest.raises(InputError, match="is a symbolic link"):
        do(run_unpack, FacesetUnpackConfig(faceset=str(target)))
    (target / "anna").unlink()
    (target / "anna").mkdir()
    (target / "anna" / "0.jpg").symlink_to(outside / "0.jpg")
    with pytest.raises(InputError, match="exists already"):
        do(run_unpack, FacesetUnpackConfig(faceset=str(target)))
    assert list(outside.iterdir()) == []


def test_a_damaged_pack_is_not_packed_over(folder: Path):
    (folder / "faceset.pak").write_bytes(b"damaged")
    with pytest.raises(InputError, match="would be lost"):
        do(run_pack, FacesetPackConfig(faceset=str(folder)))
    assert (folder / "faceset.pak").read_bytes() == b"damaged"


# --- metadata


@pytest.mark.parametrize("kind", ["faceloom", "dfl"])
def test_metadata_come_back_after_editing(folder: Path, kind: str):
    records = {path.name: known for path, known in Faceset(folder)}
    saved = do(run_save, FacesetMetadataSaveConfig(faceset=str(folder), format=kind))
    assert saved.faces == 5 and len(saved.files) == 1
    names = sorted(records)
    edit(folder / names[0], folder / names[0], 128)  # stripped
    edit(folder / names[1], folder / names[1], 256)  # enlarged
    edit(folder / names[2], (folder / names[2]).with_suffix(".png"), 128)  # other format
    (folder / names[2]).unlink()
    (folder / names[3]).unlink()
    edit(folder / names[4], folder / "stranger.jpg", 128)
    (folder / "scan.tif").write_bytes(b"II")
    done = do(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder)))
    assert (done.restored, done.unchanged, done.gone) == (3, 1, 1)
    assert [path.name for path in done.missing] == ["scan.tif", "stranger.jpg"]
    assert done.failed == []
    for name in (names[0], names[1], Path(names[2]).stem + ".png", names[4]):
        known = records[name if name in records else Path(name).stem + ".jpg"]
        image, again = read_face(folder / name)
        assert image.shape == (128, 128, 3)
        assert (again.landmarks == known.landmarks).all()
    assert saved.files[0].exists()
    again = do(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder)))
    assert (again.restored, again.unchanged) == (0, 4)


def test_metadata_go_to_no_other_face(folder: Path):
    """A sort between saving and restoring gives the saved names to other faces."""
    do(run_save, FacesetMetadataSaveConfig(faceset=str(folder)))
    paths = sorted(folder.glob("*.jpg"))
    moves = [Move(a, b) for a, b in zip(paths, [*paths[1:], paths[0]], strict=True)]
    move_faces(folder, moves, label="sort")
    edit(paths[0], paths[0], 128)
    before = contents(folder)
    done = do(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder)))
    assert (done.restored, len(done.failed)) == (0, 5)
    assert contents(folder) == before
    reasons = dict(done.failed)
    assert "renamed after" in reasons[paths[0]]
    assert all("not the face that was saved" in reasons[path] for path in paths[1:])
    undo_moves(folder)
    done = do(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder)))
    assert (done.restored, done.unchanged, done.failed) == (1, 4, [])


def test_of_many_lines_of_a_kind_some_are_shown(folder: Path, tmp_path: Path):
    for number in range(30):
        (folder / f"note{number}.jpg").write_bytes(b"no picture")
    packed = do(run_pack, FacesetPackConfig(faceset=str(folder)))
    assert len(packed.skipped) == 30
    assert sum("skipped" in line for line in packed.lines()) == 10
    assert packed.lines()[-1] == "… and 20 more"


def edit(source: Path, target: Path, size: int) -> None:
    """What a picture editor does: decode, change, encode, metadata gone."""
    image = cv2.imread(str(source))
    assert image is not None
    assert cv2.imwrite(str(target), cv2.resize(image, (size, size)) // 2 + 40)


def test_resized_faces_may_keep_their_size(folder: Path):
    do(run_save, FacesetMetadataSaveConfig(faceset=str(folder)))
    path = folder / "00001_0.jpg"
    known = read_record(path)
    edit(path, path, 256)
    done = do(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder), keep_size=True))
    assert (done.restored, done.unchanged) == (1, 4)
    image, again = read_face(path)
    assert image.shape == (256, 256, 3)
    np.testing.assert_allclose(again.landmarks, known.landmarks * 2, rtol=1e-6)


def test_a_kill_while_restoring_leaves_whole_files(folder: Path):
    do(run_save, FacesetMetadataSaveConfig(faceset=str(folder)))
    before = contents(folder)
    for path in folder.glob("*.jpg"):
        edit(path, path, 128)
    for changes in range(60):
        try:
            with killer().after(changes):
                do(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder)))
            break
        except (Killed, InputError):
            for path in folder.glob("0*.jpg"):
                assert cv2.imread(str(path)) is not None
    names = {path.name for path in Faceset(folder).paths}
    assert names == {name for name in before if name.endswith(".jpg")}


def test_without_saved_metadata_there_is_a_hint(folder: Path):
    with pytest.raises(InputError, match="metadata save"):
        do(run_restore, FacesetMetadataRestoreConfig(faceset=str(folder)))
    do(run_pack, FacesetPackConfig(faceset=str(folder), remove=True))
    with pytest.raises(InputError, match="unpack"):
        do(run_save, FacesetMetadataSaveConfig(faceset=str(folder)))


# --- import and export


@pytest.fixture(params=["folder", "pak", "zip", "png"])
def foreign(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Path:
    """A faceset from elsewhere, of every kind."""
    if request.param == "folder":
        return folder
    if request.param == "png":
        return tmp_path / "made"
    return do(run_pack, FacesetPackConfig(faceset=str(folder), format=request.param)).output


def test_facesets_of_every_kind_are_taken_over(foreign: Path, folder: Path, tmp_path: Path):
    target = tmp_path / "new" / "aligned"
    done = do(run_import, FacesetImportConfig(faceset=str(target), source=foreign))
    assert (done.faces, done.written, done.renamed, done.skipped) == (5, 5, [], [])
    frames = {known.source_filename for _, known in Faceset(target)}
    assert frames == {known.source_filename for _, known in Faceset(folder)}
    again = do(run_import, FacesetImportConfig(faceset=str(target), source=foreign))
    assert (again.faces, again.written) == (5, 0)


def test_taken_names_get_another_and_damage_is_left_out(folder: Path, tmp_path: Path):
    source = tmp_path / "source"
    source.mkdir()
    data = {path.name: path.read_bytes() for path in sorted(folder.glob("*.jpg"))}
    (source / "00001_0.jpg").write_bytes(data["00002_0.jpg"])  # taken, and another face
    (source / "upper.JPG").write_bytes(data["00003_0.jpg"])
    (source / "wrong.png").write_bytes(data["00004_0.jpg"])
    (source / "cut.jpg").write_bytes(data["00005_0.jpg"][:900])
    (source / "plain.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((9, 9, 3)))[1].tobytes())
    (source / "anna").mkdir()
    (source / "anna" / "00001_0.jpg").write_bytes(data["00001_0.jpg"])
    done = do(run_import, FacesetImportConfig(faceset=str(folder), source=source))
    assert done.renamed == [("00001_0.jpg", "00001_0-2.jpg")]
    assert sorted(name for name, _ in done.skipped) == ["cut.jpg", "plain.jpg"]
    assert set(contents(folder)) - set(data) == {
        "00001_0-2.jpg",
        "upper.jpg",
        "wrong.jpg",
        "anna_00001_0.jpg",
    }
    assert {name: (folder / name).read_bytes() for name in data} == data
    with pytest.raises(InputError, match="is the faceset itself"):
        do(run_import, FacesetImportConfig(faceset=str(folder), source=folder))
    with pytest.raises((InputError, FormatError)):
        do(run_import, FacesetImportConfig(faceset=str(folder), source=source / "cut.jpg"))


@pytest.mark.parametrize("target", ["out", "out.pak", "out.zip"])
def test_exports_are_what_dfl_opens(tmp_path: Path, target: str):
    made = write_faceset(tmp_path / "made", 4)  # PNG, which DFL no longer opens
    (made / "00001_0.jpg").write_bytes(dfl_form((made / "00002_0.png").read_bytes())[0])
    out = tmp_path / target
    done = do(run_export, FacesetExportConfig(faceset=str(made), output=out, dfl_only=True))
    assert (done.faces, done.encoded) == (5, 4)
    assert done.renamed == [("00001_0.png", "00001_0-2.jpg")]
    if target == "out":
        found = contents(out)
        again = do(run_export, FacesetExportConfig(faceset=str(made), output=out, dfl_only=True))
        assert again.written == 0
    elif target == "out.pak":
        found = {config["filename"]: data for config, data in dfl_open_pack(out)}
    else:
        with zipfile.ZipFile(out) as archive:
            found = {name: archive.read(name) for name in archive.namelist()}
    names = ["00001_0-2.jpg", *(f"0000{n}_0.jpg" for n in (1, 2, 3, 4))]
    assert sorted(found) == sorted(names)
    for data in found.values():
        assert dfl_form(data) == (data, False)
    if target != "out":
        with pytest.raises(InputError, match="exists already"):
            do(run_export, FacesetExportConfig(faceset=str(made), output=out))


@pytest.mark.parametrize("name", ["x.rar", "x.7z", "x.tar.gz", "x.TGZ"])
def test_archives_of_other_kinds_are_refused(folder: Path, tmp_path: Path, name: str):
    out = tmp_path / name
    with pytest.raises(InputError, match=r"cannot be written; use \.zip, \.pak or a folder"):
        do(run_export, FacesetExportConfig(faceset=str(folder), output=out))
    assert not out.exists()
    out = tmp_path / "anna.2024"
    do(run_export, FacesetExportConfig(faceset=str(folder), output=out))
    assert list(out.glob("*.jpg"))


# --- the command line


def test_commands(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    workspace = folder.parent / "ws"
    (workspace / "data_src").mkdir(parents=True)
    folder.rename(workspace / "data_src" / "aligned")
    monkeypatch.chdir(workspace)
    aligned = workspace / "data_src" / "aligned"
    assert run_command(["faceset", "metadata", "save", "src", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"] == 5
    assert run_command(["faceset", "metadata", "restore", "src"]) == 0
    assert "0 faces restored, 5 still had" in capsys.readouterr().out
    assert run_command(["faceset", "pack", "src", "--remove"]) == 0
    assert "5 faces" in capsys.readouterr().out
    assert run_command(["faceset", "export", "src", "../out.zip"]) == 0
    assert run_command(["faceset", "import", "dst", "../out.zip"]) == 0
    assert len(Faceset(workspace / "data_dst" / "aligned")) == 5
    assert run_command(["faceset", "unpack", "src"]) == 0
    assert not (aligned / "faceset.pak").exists()
    capsys.readouterr()
    assert run_command(["faceset", "unpack", "src"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
