"""Moves among hard links, failing systems and journals that somebody else wrote."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from faceloom.core import FaceloomError, InputError
from faceloom.faces import Faceset
from faceloom.faces.moves.journal import JOURNAL_FOLDER, Step, entry_path, next_number, read_steps
from faceloom.faces.moves.journal import note_target as note
from faceloom.faces.moves.moves import (
    Move,
    lock_faces,
    move_faces,
    operations,
    recover_moves,
    undo_moves,
)
from faceloom.faces.moves.run import steps_done

HEAD = {"faceloom_moves": 1, "id": "x", "label": "x", "time": 0, "count": 1, "made": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "aligned"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (folder / name).write_text(name)
    return folder


def listing(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*.jpg"))}


def journal(folder: Path, state: str, *rows: object, **head: object) -> Path:
    path = folder / JOURNAL_FOLDER / f"000001.{state}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [{**HEAD, **head}, *rows]))
    return path


def row(folder: Path, name: str, target: str) -> list[object]:
    stat = (folder / name).stat()
    return [name, target, stat.st_ino, stat.st_size, stat.st_mtime_ns]


@pytest.mark.parametrize("done", range(7))
def test_names_of_one_file_move_along_a_chain_at_any_kill(tmp_path: Path, done: int):
    """Hard links, as programs make of duplicates: no inode tells which step was done.

    `done` counts half steps: a new name, then the old one's end.
    """
    folder = tmp_path / "aligned"
    folder.mkdir()
    (folder / "c.jpg").write_text("one file")
    for name in ("a.jpg", "b.jpg"):
        os.link(folder / "c.jpg", folder / name)
    ways = [("c.jpg", "d.jpg"), ("b.jpg", "c.jpg"), ("a.jpg", "b.jpg")]
    journal(folder, "todo", *([*row(folder, a, b)] for a, b in ways))
    for half in range(done):
        source, target = ways[half // 2]
        if half % 2:
            (folder / source).unlink()
        else:
            os.link(folder / source, folder / target)
    assert recover_moves(folder)
    assert sorted(listing(folder)) == ["b.jpg", "c.jpg", "d.jpg"]
    undo_moves(folder)
    assert sorted(listing(folder)) == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize("done", range(4))
def test_a_file_deleted_since_does_not_hide_how_far_it_was(folder: Path, done: int):
    ways = [("c.jpg", "d.jpg"), ("b.jpg", "c.jpg"), ("a.jpg", "b.jpg")]
    steps = [Step(*row(folder, a, b)) for a, b in ways]  # type: ignore[arg-type]
    for source, target in ways[:done]:
        (folder / source).rename(folder / target)
    for gone in sorted(listing(folder)):
        kept = (folder / gone).read_bytes(), (folder / gone).stat()
        (folder / gone).unlink()
        found = steps_done(folder, steps, {})
        # The deleted face's own step may count as done or not; no other may.
        own = next(i for i, (name, _) in enumerate(ways) if name == kept[0].decode())
        assert found == done or (found == own and done == own + 1)
        (folder / gone).write_bytes(kept[0])
        os.utime(folder / gone, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))
        steps = [
            step._replace(inode=(folder / gone).stat().st_ino) if i == own else step
            for i, step in enumerate(steps)
        ]


def test_a_face_that_cannot_lose_its_old_name_gets_no_second_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """As on Windows, where a picture that is shown may get another name but not lose one."""
    unlink = os.unlink

    def stubborn(path: str) -> None:
        if Path(path).name == "b.jpg":
            raise PermissionError(errno.EACCES, "in use")
        unlink(path)

    monkeypatch.setattr(os, "unlink", stubborn)
    ways = [Move(folder / f"{a}.jpg", folder / f"{b}.jpg") for a, b in ("bd", "ae")]
    moved = move_faces(folder, ways, label="x")
    assert listing(folder) == {"b.jpg": "b.jpg", "c.jpg": "c.jpg", "e.jpg": "a.jpg"}
    assert moved.moved == 1 and moved.failed == [(folder / "b.jpg", "in use")]


def test_a_folder_that_cannot_be_made_leaves_no_operation_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    mkdir = Path.mkdir

    def refuse(self: Path, *arguments: object, **options: object) -> None:
        if self.name == "aligned_trash":
            raise PermissionError(errno.EACCES, "not here", str(self))
        mkdir(self, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        trash = folder.with_name("aligned_trash")
        with pytest.raises(InputError, match="not here"):
            move_faces(folder, [Move(folder / "a.jpg", trash / "a.jpg")], label="x")
        assert move_faces(folder, [Move(folder / "a.jpg", folder / "d.jpg")], label="y").moved == 1
    assert [one.label for one in operations(folder)] == ["y"]
    assert not recover_moves(folder)


@pytest.mark.parametrize(
    "target",
    [
        "../aligned_\0/x.jpg",
        "a\ud800.jpg",
        "../aligned_\ud800/x.jpg",
        "../aligned_\\..\\..\\x/x.jpg",
    ],
)
@pytest.mark.parametrize("state", ["todo", "done"])
def test_impossible_names_in_a_journal_are_one_line_or_nothing(
    folder: Path, target: str, state: str
):
    line = row(folder, "a.jpg", target)
    journal(folder, state, line if state == "todo" else line[:2], made=["\0", target])
    before = listing(folder)
    Faceset(folder)
    assert listing(folder) == before
    if state == "done":
        with pytest.raises(FaceloomError) as error:
            undo_moves(folder)
        assert "\n" not in str(error.value)
        assert listing(folder) == before


def test_a_foreign_journal_moves_no_face_that_it_does_not_know(folder: Path):
    """A faceset from elsewhere with an operation of its own: our faces of these names stay."""
    trash = folder.with_name("aligned_trash")
    trash.mkdir()
    (trash / "a.jpg").write_text("mine")
    lines = [
        [f"{before}.jpg", f"sub/{before}.jpg", 1, 5, 1] for before in ("a", "../aligned_trash/a")
    ]
    journal(folder, "todo", *lines)
    before = listing(folder), listing(trash)
    assert recover_moves(folder)
    assert (listing(folder), listing(trash)) == before
    assert not recover_moves(folder)


def test_a_label_from_elsewhere_is_one_line(folder: Path):
    journal(folder, "done", ["a.jpg", "b.jpg"], label="a\n\x1b[31mb\r" + "x" * 500)
    (found,) = operations(folder)
    assert found.label.isprintable() and len(found.label) <= 200


def test_notes_cut_by_two_kills_do_not_spoil_the_journal(folder: Path):
    path = journal(folder, "todo", row(folder, "a.jpg", "b.jpg"), row(folder, "c.jpg", "d.jpg"))
    with path.open("a") as file:
        file.write('{"step": 0, "tar')
    note(path, 0, "b~2.jpg")
    with path.open("a") as file:
        file.write('{"step": 1, "target": "d~')
    _, steps, elsewhere = read_steps(path, folder)
    assert (len(steps), elsewhere) == (2, {0: "b~2.jpg"})


def test_numbers_that_a_foreign_journal_has_used_up(folder: Path):
    journal(folder, "done", ["a.jpg", "b.jpg"]).rename(entry_path(folder, 99_999_999, "done"))
    with pytest.raises(InputError, match="no numbers left"):
        next_number(folder)
    with pytest.raises(InputError, match="no numbers left"):
        move_faces(folder, [Move(folder / "a.jpg", folder / "d.jpg")], label="x")
    assert sorted(listing(folder)) == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_journal_behind_a_link_is_nobodys(folder: Path, tmp_path: Path):
    path = journal(folder, "todo", row(folder, "a.jpg", "d.jpg"))
    elsewhere = tmp_path / "elsewhere"
    path.parent.rename(elsewhere)
    (elsewhere / ".tmp-1").write_text("somebody's")
    path.parent.symlink_to(elsewhere)
    assert not recover_moves(folder) and operations(folder) == []
    with pytest.raises(InputError, match="is a symbolic link"):
        move_faces(folder, [Move(folder / "a.jpg", folder / "d.jpg")], label="x")
    assert sorted(path.name for path in elsewhere.iterdir()) == [".tmp-1", "000001.todo.jsonl"]
    assert "a.jpg" in listing(folder)


def test_faces_that_are_held_do_not_move(folder: Path):
    with lock_faces(folder):
        with pytest.raises(InputError, match="rewriting faces"):
            move_faces(folder, [Move(folder / "a.jpg", folder / "d.jpg")], label="x")
        with pytest.raises(InputError, match="rewriting faces"), lock_faces(folder):
            pass
    assert move_faces(folder, [Move(folder / "a.jpg", folder / "d.jpg")], label="x").moved == 1


def test_holding_finishes_what_a_kill_left(folder: Path):
    journal(folder, "todo", row(folder, "a.jpg", "d.jpg"))
    with lock_faces(folder):
        assert "d.jpg" in listing(folder)


def test_a_journal_of_another_version_is_set_aside(folder: Path):
    path = journal(folder, "todo", row(folder, "a.jpg", "d.jpg"), faceloom_moves=2)
    text = path.read_text()
    assert recover_moves(folder) and not recover_moves(folder)
    assert sorted(listing(folder)) == ["a.jpg", "b.jpg", "c.jpg"]
    assert path.with_name("000001.todo.damaged").read_text() == text
