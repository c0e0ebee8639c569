"""Moves: any permutation, no loss at any kill, and back to where everything was."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceloom.core import Cancel, CancelledError, InputError, NullProgress, file_lock
from faceloom.faces import Faceset
from faceloom.faces.moves.journal import JOURNAL_FOLDER
from faceloom.faces.moves.moves import (
    EXTRACT_LOCK,
    Move,
    move_faces,
    operations,
    recover_moves,
    undo_moves,
)
from faceloom.faces.moves.plan import plan_moves
from faceloom.stages.extract.journal import LOCK_NAME


def fill(folder: Path, names: list[str]) -> Path:
    """Files whose content is their first name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return folder


def listing(parent: Path) -> dict[str, str]:
    """Picture → content of every folder under `parent`."""
    return {
        path.relative_to(parent).as_posix(): path.read_text()
        for path in sorted(parent.rglob("*.jpg"))
    }


def moves(parent: Path, mapping: dict[str, str]) -> list[Move]:
    return [Move(parent / source, parent / target) for source, target in mapping.items()]


# --- the plan, against a naive model of a file system


def play(present: set[str], steps: list[tuple[str, str]]) -> dict[str, str]:
    """Do steps one by one; nothing may be overwritten, every source must be there."""
    files = {name: name for name in present}
    for source, target in steps:
        assert source in files and target not in files
        files[target] = files.pop(source)
    return {origin: name for name, origin in files.items()}


@pytest.mark.parametrize("seed", range(200))
def test_any_moves_end_where_they_should(seed: int):
    rng = random.Random(seed)
    names = [f"{i}.jpg" for i in range(12)] + ["A.jpg", "a.JPG", "B.jpg", "b.jpg"]
    present = set(rng.sample(names, rng.randint(1, len(names))))
    sources = rng.sample(sorted(present), rng.randint(0, len(present)))
    targets = [rng.choice([*names, "../x_trash/1.jpg", "new.jpg"]) for _ in sources]
    plan = plan_moves(list(zip(sources, targets, strict=True)), present)
    where = play(present, plan.steps)
    assert len(set(where.values())) == len(present)
    changed = dict(plan.renamed)
    for source, target in zip(sources, targets, strict=True):
        if where[source] != target:
            assert target in changed, "only a taken target is replaced"
            assert "~" in where[source] and "~moving" not in where[source]
    for name in present - set(sources):
        assert where[name] == name


@pytest.mark.parametrize("seed", range(30))
def test_permutations_need_one_more_step_a_cycle(seed: int):
    rng = random.Random(seed)
    names = [f"{i:03d}.jpg" for i in range(40)]
    order = rng.sample(names, len(names))
    plan = plan_moves(list(zip(names, order, strict=True)), names)
    assert play(set(names), plan.steps) == dict(zip(names, order, strict=True))
    assert plan.renamed == []
    mapping, cycles, moved = dict(zip(names, order, strict=True)), 0, 0
    while mapping:
        start, length = next(iter(mapping)), 0
        at = start
        while at in mapping:
            at, length = mapping.pop(at), length + 1
        cycles += length > 1
        moved += length if length > 1 else 0
    assert len(plan.steps) == moved + cycles


# --- on the disk


@pytest.mark.parametrize("seed", range(12))
def test_undo_returns_to_the_identical_listing(tmp_path: Path, seed: int):
    rng = random.Random(seed)
    names = [f"{i:02d}.jpg" for i in range(15)]
    folder = fill(tmp_path / "aligned", names)
    fill(tmp_path / "aligned_trash", ["03.jpg", "old.jpg"])
    states = [listing(tmp_path)]
    for i in range(5):
        present = sorted(listing(tmp_path))
        chosen = rng.sample(present, rng.randint(1, len(present)))
        target = [
            rng.choice(["aligned/", "aligned_trash/", "aligned_duplicates/3/"]) + rng.choice(names)
            for _ in chosen
        ]
        mapping = dict(zip(chosen, target, strict=True))
        moved = move_faces(folder, moves(tmp_path, mapping), label=f"step {i}")
        now = listing(tmp_path)
        assert sorted(now.values()) == sorted(states[0].values()), "nothing lost, nothing changed"
        given = {w.relative_to(tmp_path).as_posix() for w, _ in moved.renamed}
        for source, wanted in mapping.items():
            assert now.get(wanted) == states[-1][source] or wanted in given
        if now != states[-1]:
            states.append(now)
    while len(states) > 1:
        assert listing(tmp_path) == states.pop()
        undo_moves(folder)
    assert listing(tmp_path) == states[0]
    with pytest.raises(InputError, match="nothing to undo"):
        undo_moves(folder)


def test_stack_of_operations_is_told_and_bounded(tmp_path: Path):
    folder = fill(tmp_path / "aligned", ["0.jpg"])
    for i in range(25):
        mapping = {f"aligned/{i}.jpg": f"aligned/{i + 1}.jpg"}
        move_faces(folder, moves(tmp_path, mapping), label=f"step {i}")
    told = operations(folder)
    assert [operation.label for operation in told] == [f"step {i}" for i in range(5, 25)]
    assert all(operation.count == 1 for operation in told)
    assert abs(told[-1].time - time.time()) < 60
    for i in reversed(range(5, 25)):
        assert undo_moves(folder) == f"step {i}"
    assert listing(tmp_path) == {"aligned/5.jpg": "0.jpg"}


def test_a_swap_shows_no_hidden_or_foreign_file_names(tmp_path: Path):
    plan = plan_moves([("00012.jpg", "00013.jpg"), ("00013.jpg", "00012.jpg")], ["00012.jpg"])
    aside = {name for step in plan.steps for name in step} - {"00012.jpg", "00013.jpg"}
    assert aside == {"00012~moving.jpg"}


def test_taken_targets_get_free_names_and_nothing_is_overwritten(tmp_path: Path):
    folder = fill(tmp_path / "aligned", ["a.jpg", "b.jpg", "c.jpg"])
    fill(tmp_path / "aligned_trash", ["a.jpg"])
    mapping = {"aligned/a.jpg": "aligned_trash/a.jpg", "aligned/b.jpg": "aligned_trash/a.jpg"}
    moved = move_faces(folder, moves(tmp_path, mapping), label="drop")
    assert moved.moved == 2
    assert [(w.name, g.name) for w, g in moved.renamed] == [
        ("a.jpg", "a~2.jpg"),
        ("a.jpg", "a~3.jpg"),
    ]
    assert len(listing(tmp_path)) == 4


def test_the_folder_above_a_made_one_goes_away_too(tmp_path: Path):
    folder = tmp_path / "aligned"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a")
    above = tmp_path / "aligned_duplicates"
    move_faces(folder, [Move(folder / "a.jpg", above / "3" / "a.jpg")], label="dedupe")
    assert (above / "3" / "a.jpg").read_bytes() == b"a"
    undo_moves(folder)
    assert (folder / "a.jpg").read_bytes() == b"a"
    assert not above.exists()
    # One that was there before stays, empty or not.
    above.mkdir()
    move_faces(folder, [Move(folder / "a.jpg", above / "3" / "a.jpg")], label="dedupe")
    undo_moves(folder)
    assert above.is_dir() and not any(above.iterdir())


def test_folders_made_for_it_go_away_with_undo(tmp_path: Path):
    folder = fill(tmp_path / "aligned", ["a.jpg", "b.jpg"])
    move_faces(
        folder, moves(tmp_path, {"aligned/a.jpg": "aligned_duplicates/3/a.jpg"}), label="dedupe"
    )
    undo_moves(folder)
    assert not (tmp_path / "aligned_duplicates/3").exists()
    assert len(listing(tmp_path)) == 2


def test_what_the_user_did_meanwhile_is_respected(tmp_path: Path):
    folder = fill(tmp_path / "aligned", [f"{i}.jpg" for i in range(5)])
    mapping = {f"aligned/{i}.jpg": f"aligned/n{i}.jpg" for i in range(5)}
    move_faces(folder, moves(tmp_path, mapping), label="rename")
    (folder / "n0.jpg").unlink()
    (folder / "n1.jpg").rename(folder / "mine.jpg")
    (folder / "2.jpg").write_text("new")
    progress = NullProgress()
    assert undo_moves(folder, progress=progress) == "rename"
    assert listing(folder) == {
        "mine.jpg": "1.jpg",
        "2.jpg": "new",
        "2~2.jpg": "2.jpg",
        "3.jpg": "3.jpg",
        "4.jpg": "4.jpg",
    }
    assert any("2 faces deleted or renamed by hand" in note for note in progress.notes)
    assert any("2~2.jpg" in note for note in progress.notes)


def test_face_gone_before_the_move_is_told(tmp_path: Path):
    folder = fill(tmp_path / "aligned", ["a.jpg"])
    mapping = {"aligned/a.jpg": "aligned/b.jpg", "aligned/gone.jpg": "aligned/c.jpg"}
    moved = move_faces(folder, moves(tmp_path, mapping), label="x")
    assert moved.moved == 1 and moved.missing == [folder / "gone.jpg"]


def test_file_that_appears_at_a_target_meanwhile_stays(tmp_path: Path):
    folder = fill(tmp_path / "aligned", ["a.jpg", "b.jpg"])

    class Intruder(NullProgress):
        def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
            (folder / "new.jpg").write_text("intruder")

    mapping = {"aligned/a.jpg": "aligned/new.jpg", "aligned/b.jpg": "aligned/a.jpg"}
    moved = move_faces(folder, moves(tmp_path, mapping), label="x", progress=Intruder())
    assert listing(folder) == {"new.jpg": "intruder", "new~2.jpg": "a.jpg", "a.jpg": "b.jpg"}
    assert moved.renamed == [(folder / "new.jpg", folder / "new~2.jpg")]
    undo_moves(folder)
    assert listing(folder) == {"new.jpg": "intruder", "a.jpg": "a.jpg", "b.jpg": "b.jpg"}


def test_file_system_without_second_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As FAT and some network folders are: a rename would overwrite, so it is looked first."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    folder = fill(tmp_path / "aligned", ["a.jpg", "b.jpg", "c.jpg"])

    class Intruder(NullProgress):
        def start(self, stage: str, total: int | None, unit: str, done: int = 0) -> None:
            (folder / "new.jpg").write_text("intruder")

    mapping = {
        "aligned/a.jpg": "aligned/b.jpg",
        "aligned/b.jpg": "aligned/a.jpg",
        "aligned/c.jpg": "aligned/new.jpg",
    }
    move_faces(folder, moves(tmp_path, mapping), label="x", progress=Intruder())
    assert listing(folder) == {
        "a.jpg": "b.jpg",
        "b.jpg": "a.jpg",
        "new.jpg": "intruder",
        "new~2.jpg": "c.jpg",
    }
    undo_moves(folder)
    assert listing(folder) == {n: n for n in ("a.jpg", "b.jpg", "c.jpg")} | {"new.jpg": "intruder"}


def test_face_that_cannot_be_moved_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As on Windows while another program shows a picture."""
    link = os.link

    def stubborn(source: str, target: str, **options: bool) -> None:
        if Path(source).read_text() == "b.jpg":
            raise OSError(errno.EACCES, "in use")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", stubborn)
    folder = fill(tmp_path / "aligned", ["a.jpg", "b.jpg", "c.jpg"])
    mapping = {f"aligned/{a}.jpg": f"aligned/{b}.jpg" for a, b in ("ab", "bc", "cd")}
    moved = move_faces(folder, moves(tmp_path, mapping), label="x")
    assert listing(folder) == {"b.jpg": "b.jpg", "b~2.jpg": "a.jpg", "d.jpg": "c.jpg"}
    assert moved.moved == 2 and moved.failed == [(folder / "b.jpg", "in use")]
    assert not recover_moves(folder)
    undo_moves(folder)
    assert listing(folder) == {f"{name}.jpg": f"{name}.jpg" for name in "abc"}


# --- refusals


@pytest.mark.parametrize(
    "target",
    ["elsewhere/a.jpg", "a.jpg", "../a.jpg", "aligned/a.txt", "aligned/.a.jpg", "alignedx/a.jpg"],
)
def test_other_places_are_refused_untouched(tmp_path: Path, target: str):
    folder = fill(tmp_path / "w" / "aligned", ["a.jpg"])
    with pytest.raises(InputError, match="faces move among pictures"):
        move_faces(folder, moves(tmp_path / "w", {"aligned/a.jpg": target}), label="x")
    assert listing(tmp_path) == {"w/aligned/a.jpg": "a.jpg"}


def test_face_moved_twice_and_packed_faceset_are_refused(tmp_path: Path):
    folder = fill(tmp_path / "aligned", ["a.jpg"])
    twice = [Move(folder / "a.jpg", folder / "b.jpg"), Move(folder / "a.jpg", folder / "c.jpg")]
    with pytest.raises(InputError, match="two places"):
        move_faces(folder, twice, label="x")
    (folder / "faceset.pak").write_bytes(b"")
    with pytest.raises(InputError, match="unpack it first"):
        move_faces(folder, twice[:1], label="x")


def test_no_two_tools_at_once(tmp_path: Path):
    folder = fill(tmp_path / "aligned", ["a.jpg"])
    one = moves(tmp_path, {"aligned/a.jpg": "aligned/b.jpg"})
    assert EXTRACT_LOCK == LOCK_NAME
    with file_lock(folder / LOCK_NAME, wait=False) as held:
        assert held
        with pytest.raises(InputError, match="an extraction is writing"):
            move_faces(folder, one, label="x")
    (folder / JOURNAL_FOLDER).mkdir(exist_ok=True)
    with file_lock(folder / JOURNAL_FOLDER / "lock", wait=False) as held:
        assert held
        with pytest.raises(InputError, match="another process is moving"):
            move_faces(folder, one, label="x")
    assert move_faces(folder, one, label="x").moved == 1


def test_cancel_before_the_first_rename(tmp_path: Path):
    folder = fill(tmp_path / "aligned", ["a.jpg"])
    cancel = Cancel()
    cancel.set()
    one = moves(tmp_path, {"aligned/a.jpg": "aligned/b.jpg"})
    with pytest.raises(CancelledError):
        move_faces(folder, one, label="x", cancel=cancel)
    assert listing(folder) == {"a.jpg": "a.jpg"} and operations(folder) == []


# --- kills

WRITES = {"os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect"}


def kill_after(changes: int, work: Callable[[], object]) -> bool:
    """`work` in a process that is killed at its n-th change of files; whether it came to its end.

    By SIGKILL, so that nothing tidies up.
    """
    child = os.fork()
    if child == 0:
        left = [changes]

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
            if event in WRITES or opens:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def turn(folder: Path) -> object:
    """All but the last two faces move one on; these go to the trash."""
    names = sorted(path.name for path in folder.glob("*.jpg"))
    ways = [
        Move(folder / a, folder / b)
        for a, b in zip(names[:-2], names[1:-2] + names[:1], strict=True)
    ]
    trash = folder.with_name("aligned_trash")
    ways += [Move(folder / name, trash / name) for name in names[-2:]]
    return move_faces(folder, ways, label="turn")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("alike", [False, True], ids=["distinct", "alike"])
@pytest.mark.parametrize("work", [turn, undo_moves])
def test_a_kill_at_any_point_is_finished(
    tmp_path: Path, work: Callable[[Path], object], alike: bool
):
    names = [f"{i}.jpg" for i in range(6)]
    before = {f"aligned/{name}": name for name in names}
    after = {f"aligned/{i}.jpg": f"{(i - 1) % 4}.jpg" for i in range(4)}
    after |= {f"aligned_trash/{i}.jpg": f"{i}.jpg" for i in (4, 5)}
    finished = set[bool]()
    for changes in range(100):
        parent = tmp_path / str(changes)
        folder = fill(parent / "aligned", names)
        if alike:  # stamps that cannot tell the files apart
            for name in names:
                os.utime(folder / name, (1, 1))
        if work is undo_moves:
            turn(folder)
        ended = kill_after(changes, lambda folder=folder: work(folder))
        kept = set(listing(parent).values())
        assert kept == set(names), "every face has a name at any time"
        for _ in range(2):
            Faceset(folder)
            assert listing(parent) in (before, after)
        finished.add(listing(parent) == (before if work is undo_moves else after))
        left = {path.name.split(".")[1] for path in (folder / JOURNAL_FOLDER).glob("0*.jsonl")}
        assert left <= {"done"}
        if listing(parent) == after:
            assert undo_moves(folder) == "turn"
        assert listing(parent) == before
        shutil.rmtree(parent)
        if ended:
            assert finished == {False, True}
            return
    raise AssertionError("the operation never ended")


def test_a_copied_folder_is_finished_too(tmp_path: Path):
    """Inodes are others there; size and time stamp tell the files."""
    names, finished = [f"{i}.jpg" for i in range(6)], 0
    for changes in range(100):
        parent, copy = tmp_path / f"{changes}", tmp_path / f"{changes}b"
        folder = fill(parent / "aligned", names)
        for i, name in enumerate(names):
            os.utime(folder / name, (i, i))
        ended = kill_after(changes, lambda folder=folder: turn(folder))
        shutil.copytree(parent, copy, copy_function=shutil.copy2)
        assert recover_moves(folder) == recover_moves(copy / "aligned")
        if len(listing(copy)) == 6:  # else the copy has one face under both its names
            assert listing(copy) == listing(parent)
            finished += listing(copy) != {f"aligned/{name}": name for name in names}
        assert set(listing(copy).values()) == set(names)
        if ended:
            break
    assert finished > 8


@pytest.mark.parametrize(
    "step",
    [
        ["a.jpg", "../../escaped.jpg", 1, 1, 1],
        ["a.jpg", "/escaped.jpg", 1, 1, 1],
        ["../other/a.jpg", "b.jpg", 1, 1, 1],
        ["a.jpg", "../aligned_trash/../../x.jpg", 1, 1, 1],
        ["a.jpg", "run.sh", 1, 1, 1],
        ["a.jpg", "../aligned_link/x.jpg", 1, 1, 1],
        ["a.jpg", "b.jpg", "1e999", None, {}],
        ["a.jpg"],
        3,
        {"step": 10**30, "target": "../../x.jpg"},
    ],
)
def test_a_foreign_journal_moves_nothing_out(tmp_path: Path, step: object):
    folder = fill(tmp_path / "w" / "aligned", ["a.jpg"])
    fill(tmp_path / "w" / "other", ["a.jpg"])
    outside = fill(tmp_path / "outside", [])
    (tmp_path / "w" / "aligned_link").symlink_to(outside)
    head = {"faceloom_moves": 1, "id": "x", "label": "x", "time": 0, "count": 1, "made": []}
    (folder / JOURNAL_FOLDER).mkdir()
    for state in ("todo", "done"):
        path = folder / JOURNAL_FOLDER / f"00000{len(state) % 2 + 1}.{state}.jsonl"
        path.write_text(f"{json.dumps(head)}\n{json.dumps(step)}\n")
    before = listing(tmp_path)
    assert len(Faceset(folder).skipped) == 1
    assert listing(tmp_path) == before
