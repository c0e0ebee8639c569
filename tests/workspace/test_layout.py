"""The workspace: DFL's layout as it is, footage by reference, names in any script."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomlkit
from pydantic import Field

import faceloom.workspace
from faceloom.core import InputError
from faceloom.core.config import WorkspaceSettings
from faceloom.core.vocabulary import Side
from faceloom.workspace import (
    Workspace,
    create_workspace,
    footage_in,
    set_footage,
    stage_config,
)


def make(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def dfl(tmp_path: Path) -> Path:
    """A workspace as DFL leaves it (pipeline.md 1.1)."""
    root = tmp_path / "workspace"
    make(root / "data_src.mp4")
    make(root / "Data_DST.MKV")
    make(root / "data_dst.txt")
    make(root / "data_src" / "aligned" / "00001_0.jpg")
    make(root / "data_dst" / "aligned" / "00001_0.jpg")
    make(root / "model" / "new_SAEHD_data.dat")
    return root


def test_dfl_workspace_opens_as_it_is(dfl: Path) -> None:
    before = sorted(dfl.rglob("*"))
    workspace = Workspace.open(dfl)
    assert workspace.footage("src") == dfl / "data_src.mp4"
    assert workspace.footage("dst") == dfl / "Data_DST.MKV"
    assert workspace.video("dst") == dfl / "Data_DST.MKV"
    assert workspace.aligned("src") == workspace.aligned_src == dfl / "data_src" / "aligned"
    assert workspace.merged == dfl / "data_dst" / "merged"
    assert workspace.merged_mask == dfl / "data_dst" / "merged_mask"
    assert workspace.model == dfl / "model"
    assert workspace.result() == dfl / "result.mp4"
    assert workspace.settings("train") == {}
    assert sorted(dfl.rglob("*")) == before


def test_extracted_frames_count_before_the_video(dfl: Path) -> None:
    make(dfl / "data_dst" / "00001.png")
    workspace = Workspace.open(dfl)
    assert workspace.footage("dst") == dfl / "data_dst"
    assert workspace.video("dst") == dfl / "Data_DST.MKV"


def test_reference_counts_before_all(dfl: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "elsewhere" / "Gesicht läuft 女人 видео.mp4")
    make(dfl / "data_dst" / "00001.png")
    workspace = Workspace.open(dfl)
    set_footage(workspace, "dst", other)
    assert Workspace.open(dfl).footage("dst") == other
    other.unlink()
    with pytest.raises(InputError, match="footage is gone"):
        workspace.footage("dst")
    assert not workspace.has_footage("dst")


def test_reference_inside_is_relative_and_survives_a_move(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "one")
    set_footage(workspace, "src", make(tmp_path / "one" / "in" / "é.mp4"))
    text = workspace.file.read_text("utf-8")
    assert 'src = "in/é.mp4"' in text
    moved = (tmp_path / "one").rename(tmp_path / "two")
    assert Workspace.open(moved).footage("src") == moved / "in" / "é.mp4"


def test_folder_of_pictures_or_of_both(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    second, first = make(folder / "b.JPG"), make(folder / "a.png")
    make(folder / ".hidden.png")
    make(folder / "notes.txt")
    assert footage_in(folder) == folder
    clip = make(folder / "aa.mp4")
    assert footage_in(folder) == [first, clip, second]
    empty = tmp_path / "empty"
    empty.mkdir()
    for wrong, message in ((empty, "neither videos nor pictures"), (tmp_path / "no", "no such")):
        with pytest.raises(InputError, match=message):
            footage_in(wrong)


@pytest.mark.parametrize("kind", ["missing", "file", "empty folder"])
def test_what_is_no_workspace(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w"
    if kind == "file":
        make(path)
    elif kind == "empty folder":
        path.mkdir()
    with pytest.raises(InputError) as caught:
        Workspace.open(path)
    assert "\n" not in str(caught.value)
    assert "faceloom new" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"version = ",
        b"\xff\xfe",
        b"version = 2",
        b"version = 'x'",
        b"[footage]\nsrc = 3",
        b"footage = 3",
        b"train = 'x'",
    ],
)
def test_broken_toml_is_one_line(tmp_path: Path, content: bytes) -> None:
    make(tmp_path / "faceloom.toml", content)
    with pytest.raises(InputError, match=r"faceloom\.toml") as caught:
        workspace = Workspace.open(tmp_path)
        workspace.settings("train")
        workspace.footage("src")
    assert "\n" not in str(caught.value)


def test_update_keeps_comments(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path)
    text = workspace.file.read_text() + "\n[train] # mine\nmodel = 'SAEHD' # good\n"
    workspace.file.write_text(text)
    workspace.update("train", {"iterations": 5})
    workspace.update("merge", {"mask_mode": "full"})
    after = workspace.file.read_text()
    assert "[train] # mine" in after and "# good" in after
    assert tomlkit.parse(after).unwrap() == {
        "version": 1,
        "footage": {},
        "train": {"model": "SAEHD", "iterations": 5},
        "merge": {"mask_mode": "full"},
    }
    assert Workspace(tmp_path).settings("train") == {"model": "SAEHD", "iterations": 5}


def test_create_twice_changes_nothing(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path / "w")
    set_footage(workspace, "src", make(tmp_path / "a.mp4"))
    before = workspace.file.read_bytes()
    assert create_workspace(tmp_path / "w") == workspace
    assert workspace.file.read_bytes() == before
    with pytest.raises(InputError, match="is a file"):
        create_workspace(make(tmp_path / "file"))
    with pytest.raises(InputError, match="is a file"):
        create_workspace(tmp_path / "file" / "below")


def test_no_footage_says_what_to_do(tmp_path: Path) -> None:
    workspace = create_workspace(tmp_path)
    with pytest.raises(InputError, match=r"no src footage.*faceloom new --src"):
        workspace.footage("src")


class _OneSide(WorkspaceSettings):
    side: Side
    size: int = 1
    quality: int = Field(default=90, le=100)


class _OneFaceset(WorkspaceSettings):
    faceset: str
    size: int = 1


def _with_tables(folder: Path, text: str) -> Path:
    make(folder / "faceloom.toml", text.encode())
    return folder


def test_tables_of_a_side_refine_the_table_of_the_stage(tmp_path: Path) -> None:
    text = "[cut]\nsize = 2\nquality = 80\n[cut.src]\nsize = 3\n[cut.dst]\nquality = 70\n"
    folder = _with_tables(tmp_path, text)
    src = stage_config(_OneSide, "cut", workspace=folder, side="src")
    dst = stage_config(_OneSide, "cut", workspace=folder, side="DST")
    assert (src.side, src.size, src.quality) == ("src", 3, 80)
    assert (dst.side, dst.size, dst.quality) == ("dst", 2, 70)
    given = stage_config(_OneSide, "cut", ["quality=60"], workspace=folder, side="src", size=9)
    assert (given.size, given.quality) == (9, 60)


def test_tables_of_a_side_count_for_its_faceset_only(tmp_path: Path) -> None:
    folder = _with_tables(tmp_path, "[cut]\nsize = 2\n[cut.src]\nsize = 3\n")
    sizes = [
        stage_config(_OneFaceset, "cut", workspace=folder, faceset=name).size
        for name in ("src", "dst", "elsewhere/src")
    ]
    assert sizes == [3, 2, 2]


@pytest.mark.parametrize(
    ("text", "side", "blamed"),
    [
        ("[cut]\nquality = 900\n[cut.src]\nsize = 3\n", "src", r"toml, \[cut\] quality: "),
        ("[cut]\nquality = 9\n[cut.src]\nquality = 900\n", "src", r"toml, \[cut\.src\] quality: "),
        ("[cut]\nsize = 1\n[cut.dst]\nsise = 3\n", "dst", r"toml, \[cut\.dst\]: .*'sise'"),
        ("[cut]\nsize = 1\n[cut.both]\nsize = 3\n", "dst", r"toml, \[cut\]: .*'both'"),
        ("[cut]\nsize = 1\nsrc = 3\n", "src", r"\[cut\.src\] must be a table"),
    ],
)
def test_the_table_at_fault_is_named(tmp_path: Path, text: str, side: Side, blamed: str) -> None:
    with pytest.raises(InputError, match=blamed):
        stage_config(_OneSide, "cut", workspace=_with_tables(tmp_path, text), side=side)


def test_an_option_at_fault_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    folder = _with_tables(tmp_path, "[cut]\nquality = 9\n")
    with pytest.raises(InputError, match=r"^cut settings: quality"):
        stage_config(_OneSide, "cut", workspace=folder, side="src", quality=900)


def test_a_stage_of_both_sides_has_no_tables_of_sides(tmp_path: Path) -> None:
    class Both(WorkspaceSettings):
        size: int = 1

    folder = _with_tables(tmp_path, "[cut]\nsize = 1\n[cut.src]\nsize = 3\n")
    with pytest.raises(InputError, match="unknown setting 'src'"):
        stage_config(Both, "cut", workspace=folder)


def test_every_public_name_is_there() -> None:
    for name in faceloom.workspace.__all__:
        assert getattr(faceloom.workspace, name).__name__ == name
