"""Sorting a folder: files renamed and dropped in one operation, and all of it taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceloom.cli.main import run_command
from faceloom.core import Cancel, CancelledError, FaceloomError, InputError, NullProgress
from faceloom.core.config import validate
from faceloom.faces import Faceset, read_record
from faceloom.faces.moves.moves import operations, undo_moves
from faceloom.identify import people_folder, person_from_embeddings, save_person
from faceloom.stages.curate.sort import SortConfig, SortedGroup, SortResult, methods_table, run
from synthetic_faces import write_faceset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_faceset(tmp_path / "aligned", 12, size=64)


def sort(folder: Path, **values: object) -> SortResult:
    config = validate(SortConfig, {"faceset": str(folder), "threads": 1, **values}, where="sort")
    result = run(config, progress=NullProgress(), cancel=Cancel())
    assert isinstance(result, SortResult)
    return result


def contents(*folders: Path) -> dict[str, bytes]:
    return {
        f"{folder.name}/{path.name}": path.read_bytes()
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix in {".png", ".jpg"}
    }


def sources(folder: Path) -> list[str]:
    return [read_record(path).source_filename for path in sorted(folder.glob("*.png"))]


def test_faces_are_renamed_in_order_and_back(folder: Path):
    before = contents(folder)
    result = sort(folder, by="origname", reverse=True)
    assert [path.name for path in sorted(folder.glob("*.png"))] == [
        f"{place:05d}.png" for place in range(12)
    ]
    assert sources(folder) == [f"{12 - k:05d}.png" for k in range(12)]
    assert (result.kept, result.moved, result.dropped) == (12, 12, 0)
    assert sorted(contents(folder).values()) == sorted(before.values())
    assert result.lines()[-1] == f"to undo: `faceloom faceset undo {folder}`"
    assert [one.label for one in operations(folder)] == [f"sort {folder} by origname"]
    undo_moves(folder)
    assert contents(folder) == before


def test_yaw_goes_from_the_left_of_the_picture_to_its_right(folder: Path):
    """The drawn faces turn evenly from one side to the other in the order of their frames."""
    sort(folder, by="yaw")
    there = sources(folder)
    assert there in (sorted(there), sorted(there, reverse=True))
    noses = []
    for path in sorted(folder.glob("*.png")):
        points = read_record(path).landmarks
        noses.append(points[30, 0] - points[[0, 16], 0].mean())
    assert noses == sorted(noses)


def test_dropped_faces_move_beside_under_free_names_and_come_back(folder: Path):
    trash = folder.with_name("aligned_trash")
    trash.mkdir()
    occupied = trash / sorted(folder.glob("*.png"))[0].name
    occupied.write_bytes(b"an older one that must stay")
    before = contents(folder, trash)
    shown = {path.name for path in folder.glob("*.png")}
    result = sort(folder, by="final", count=65)
    # One face a bin of yaw: whatever shares its bin is dropped.
    assert result.kept + result.dropped == 12
    assert len(list(folder.glob("*.png"))) == result.kept
    assert occupied.read_bytes() == b"an older one that must stay"
    result = sort(folder, by="oneface")
    assert result.dropped == 0
    for _ in operations(folder):
        undo_moves(folder)
    assert contents(folder, trash) == before
    assert {path.name for path in folder.glob("*.png")} == shown


def several_a_frame(folder: Path) -> None:
    """The second face of the first frame."""
    from dataclasses import replace

    from faceloom.faces import read_face, write_face

    image, record = read_face(folder / "00002_0.png")
    write_face(folder / "00002_0.png", image, replace(record, source_filename="00001.png"))


def test_one_face_a_frame(folder: Path):
    several_a_frame(folder)
    result = sort(folder, by="oneface")
    assert (result.kept, result.dropped) == (10, 2)
    trash = folder.with_name("aligned_trash")
    assert sorted(path.name for path in trash.glob("*.png")) == ["00001_0.png", "00002_0.png"]
    assert sources(folder) == [f"{k:05d}.png" for k in range(3, 13)]


def test_without_trash_dropped_faces_come_last(folder: Path):
    several_a_frame(folder)
    result = sort(folder, by="oneface", trash=False)
    assert (result.kept, result.dropped) == (12, 0)
    assert sources(folder)[-2:] == ["00001.png", "00001.png"]
    assert not folder.with_name("aligned_trash").exists()


def test_names_can_be_kept(folder: Path):
    several_a_frame(folder)
    names = {path.name for path in folder.glob("*.png")}
    sort(folder, by="oneface", keep_names=True)
    assert {path.name for path in folder.glob("*.png")} == names - {"00001_0.png", "00002_0.png"}


def test_a_dry_run_shows_and_touches_nothing(folder: Path, tmp_path: Path):
    before = contents(folder)
    sheet, table = tmp_path / "out" / "sheet.png", tmp_path / "out" / "order.tsv"
    result = sort(
        folder, by="head-yaw,brightness", dry_run=True, sheet=sheet, list_file=table, reverse=True
    )
    assert contents(folder) == before
    assert result.moved == 0
    assert not operations(folder)
    assert cv2.imread(str(sheet)).shape[1] > 1000
    lines = [line.split("\t") for line in table.read_text("utf-8").splitlines()]
    assert lines[0] == ["position", "file", "value", "group"]
    assert [line[0] for line in lines[1:]] == [str(k) for k in range(12)]
    assert {line[1] for line in lines[1:]} == {key.split("/")[1] for key in before}
    told = {group.name: group.faces for group in result.groups}
    assert {name: [line[3] for line in lines].count(name) for name in told} == told
    assert "would be sorted" in result.lines()[0]
    assert not any("undo" in line for line in result.lines())


@pytest.mark.parametrize(("by", "moves"), [("yaw", True), ("hue", False)])
def test_pictures_that_are_no_faces_go_as_in_dfl(folder: Path, by: str, moves: bool):
    cv2.imwrite(str(folder / "holiday.png"), np.zeros((8, 8, 3), np.uint8))
    result = sort(folder, by=by)
    assert (folder / "holiday.png").exists() != moves
    assert (folder.with_name("aligned_trash") / "holiday.png").exists() == moves
    assert (result.dropped, result.strangers) == ((1, 0) if moves else (0, 1))


def test_a_stranger_in_the_way_keeps_its_name(folder: Path):
    cv2.imwrite(str(folder / "00003.png"), np.zeros((8, 8, 3), np.uint8))
    stranger = (folder / "00003.png").read_bytes()
    result = sort(folder, by="hue")
    assert (folder / "00003.png").read_bytes() == stranger
    assert len(result.renamed) == 1
    assert len(Faceset(folder)) == 12
    assert "00003.png already existed" in "\n".join(result.lines())


def test_sorting_twice_changes_nothing(folder: Path):
    sort(folder, by="brightness")
    before = contents(folder)
    assert sort(folder, by="brightness").moved == 0
    assert contents(folder) == before


def with_vectors(folder: Path, vectors: np.ndarray) -> None:
    """Faces that bring their identity with them, so that no network is needed."""
    from dataclasses import replace

    from faceloom.faces import OwnMetadata, read_face, write_face

    for path, vector in zip(sorted(folder.glob("*.png")), vectors, strict=True):
        image, record = read_face(path)
        own = OwnMetadata(embedding=vector.astype(np.float32))
        write_face(path, image, replace(record, own=own))


def test_people_of_the_workspace(folder: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    anna, ben, nobody = np.linalg.qr(rng.normal(0, 1, (128, 3)))[0].T
    who = [2, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    with_vectors(folder, np.stack([(anna, ben, nobody)[k] for k in who]))
    for name, vector in (("anna", anna), ("ben", ben)):
        person = person_from_embeddings(name, vector[None].astype(np.float32))
        save_person(people_folder(tmp_path), person)
    shared = {"workspace": tmp_path, "dry_run": True}
    groups = sort(folder, by="person,origname", **shared).groups
    assert groups == (
        SortedGroup("person: anna", 6),
        SortedGroup("person: ben", 5),
        SortedGroup("person: unknown person", 1),
    )
    sort(folder, by="identity", reference="ben", workspace=tmp_path)
    first = {int(name[:5]) - 1 for name in sources(folder)[:5]}
    assert first == {k for k in range(12) if who[k] == 1}


def test_nobody_by_that_name(folder: Path, need_weights):
    need_weights("sface", "yunet", "face-landmarker")
    with pytest.raises(InputError, match=r"--reference carl: no such person"):
        sort(folder, by="identity", reference="carl")


def test_a_cancel_touches_nothing(folder: Path):
    before = contents(folder)
    cancel = Cancel()
    cancel.set()
    with pytest.raises(CancelledError):
        config = SortConfig(faceset=str(folder), by="hist")
        run(config, progress=NullProgress(), cancel=cancel)
    assert contents(folder) == before


def test_wrong_words_are_told_before_anything_is_measured(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match="unknown sort method"):
        sort(folder, by="beauty")
    with pytest.raises(FaceloomError, match="no faceset there"):
        sort(tmp_path / "nowhere", by="yaw")


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run_command(["sort", str(folder), "--by", "yaw,brightness", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kept"], told["by"]) == (12, "yaw,brightness")
    assert sum(group["faces"] for group in told["groups"]) == 12
    assert run_command(["sort", "--list"]) == 0
    shown = capsys.readouterr().out
    for name in ("final-fast", "hist-dissim", "vggface", "best", "DFL 1.0:"):
        assert name in shown
    assert run_command(["sort"]) == 2
    assert run_command(["sort", str(folder), "--by", "beauty"]) == 2
    assert "unknown sort method 'beauty'" in capsys.readouterr().err
    assert run_command(["sort", str(folder), "--by", "yaw", "--count", "2"]) == 2
    assert "--count has no effect with --by face-yaw" in capsys.readouterr().err


def test_the_file_may_hold_options_of_some_sorts_only(folder: Path, tmp_path: Path, capsys):
    (tmp_path / "faceloom.toml").write_text("[sort]\ncount = 5\nreference = 'anna'\n", "utf-8")
    arguments = ["sort", str(folder), "-w", str(tmp_path), "--by", "yaw", "--dry-run"]
    assert run_command(arguments) == 0
    assert run_command([*arguments, "--count", "2"]) == 2
    assert "--count has no effect" in capsys.readouterr().err


def test_configurations_load_nothing_heavy():
    program = (
        "import sys, faceloom.stages.curate.config\n"
        "print([name for name in ('numpy', 'cv2', 'torch', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"


def test_the_page_lists_every_method_as_it_is():
    page = Path(__file__).resolve().parents[3] / "docs" / "sort.md"
    assert methods_table() in page.read_text("utf-8")
