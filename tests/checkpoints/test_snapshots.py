"""Snapshots, backups, and going back to them: nothing lost at any instant."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from faceloom.checkpoints import ModelFolder, backup, load_history, read_state
from faceloom.checkpoints.snapshots import (
    find_kept,
    forget,
    list_backups,
    list_snapshots,
    restore,
    snapshot,
    snapshots_folder,
)
from faceloom.core import InputError, ModelError
from killed_writes import Killed, killer
from small_models import content, falling_losses, save_small


def inodes(folder: ModelFolder) -> dict[str, int]:
    """Which files a state has: those of a restored one are the very files that were kept."""
    files = (folder.path / read_state(folder).folder).iterdir()
    return {file.name: file.stat().st_ino for file in files}


def rows(folder: ModelFolder) -> list[list[float]]:
    return load_history(folder, read_state(folder)).values.tolist()


def test_restoring_brings_back_the_very_bytes(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3, seed=1)
    before = read_state(folder)
    wanted = content(folder, before.folder)
    target = snapshot(folder, "before gan")
    save_small(folder.path, 7, seed=2)
    state = restore(folder, target)
    assert content(folder, state.folder) == wanted
    assert state.model_copy(update={"folder": before.folder}) == before
    assert read_state(folder) == state
    assert rows(folder) == falling_losses(3).values.tolist()
    replaced = find_kept(folder, "7")
    assert (replaced.kind, replaced.iteration) == ("backup", 7)
    # And there again.
    restore(folder, replaced.path)
    assert read_state(folder).iteration == 7
    assert rows(folder) == falling_losses(7).values.tolist()


def test_files_are_linked_where_the_system_can(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD")
    state = read_state(folder)
    for target in (snapshot(folder, "a"), backup(folder)):
        for name in state.files:
            assert (target / state.folder / name).samefile(folder.path / state.folder / name)
        assert not (target / "history.f32").samefile(folder.history_file), "it is written into"


def test_without_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    folder = save_small(tmp_path / "x_SAEHD", 3)
    wanted = content(folder, read_state(folder).folder)
    target = snapshot(folder, "a")
    save_small(folder.path, 4, seed=9)
    assert content(folder, restore(folder, target).folder) == wanted


def test_a_kill_at_any_instant_of_a_restore_leaves_one_of_both_states(tmp_path: Path) -> None:
    whole = save_small(tmp_path / "whole_SAEHD", 5, seed=1, scale=1)
    snapshot(whole, "a")
    save_small(whole.path, 7, seed=2, scale=3)
    files = {
        count: inodes(kept)
        for count, kept in ((7, whole), (5, ModelFolder(snapshots_folder(whole) / "a")))
    }
    seen: list[int] = []
    for changes in range(1000):
        folder = ModelFolder(tmp_path / f"{changes}_SAEHD")
        shutil.copytree(whole.path, folder.path, copy_function=os.link)
        source = snapshots_folder(folder) / "a"
        done = False
        try:
            with killer().after(changes):
                restore(folder, source)
                done = True
        except Killed:
            pass
        state = read_state(folder)
        seen.append(state.iteration)
        assert inodes(folder) == files[state.iteration]
        losses = falling_losses(state.iteration, 3 if state.iteration == 7 else 1).values
        # Where the old state was of another branch, the restored losses may stand already.
        shared = slice(5, 7) if state.iteration == 7 else slice(0, 5)
        assert rows(folder)[shared] == losses[shared].tolist()
        assert read_state(ModelFolder(source)).iteration == 5
        if done:
            break
        if changes % 8 == 0:
            restore(folder, source)
            assert not list(folder.path.rglob(".tmp-*")), "leftovers are swept"
            assert {kept.iteration for kept in list_backups(folder)} <= {5, 7}
        shutil.rmtree(folder.path)
    assert seen == sorted(seen, reverse=True)
    assert (seen[0], seen[-1]) == (7, 5)
    assert len(seen) > 20


def test_the_replaced_state_is_kept_even_when_damaged(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3)
    target = snapshot(folder, "good")
    save_small(folder.path, 5, seed=8)
    broken = folder.path / read_state(folder).folder
    (broken / "inter.safetensors").unlink()
    decoder = (broken / "decoder_src.safetensors").read_bytes()
    assert restore(folder, target).iteration == 3
    (kept,) = list_backups(folder)
    assert kept.name.startswith("damaged-")
    assert kept.state is None
    assert (kept.path / broken.name / "decoder_src.safetensors").read_bytes() == decoder
    with pytest.raises(ModelError, match="is missing or does not have"):
        restore(folder, kept.path)
    assert read_state(folder).iteration == 3
    folder.state_file.write_text("{")
    assert restore(folder, target).iteration == 3


def test_a_damaged_source_changes_nothing(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3)
    target = snapshot(folder, "a")
    save_small(folder.path, 5)
    state = read_state(folder)
    next(target.glob("state-*/inter.safetensors")).unlink()
    with pytest.raises(ModelError, match="inter"):
        restore(folder, target)
    assert read_state(folder) == state
    assert list_backups(folder) == []


def test_two_states_of_one_iteration_are_two_backups(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3, seed=1)
    first = backup(folder)
    assert backup(folder) == first, "the same state once"
    restore(folder, first)
    assert backup(folder) == first, "a restored one is the same state"
    save_small(folder.path, 3, seed=2)
    second = backup(folder)
    assert first.name == "00000003"
    assert second.name.startswith("00000003-")
    assert backup(folder) == second
    assert [kept.iteration for kept in list_backups(folder)] == [3, 3]


def test_rotation_drops_what_was_saved_first_not_the_fewest_iterations(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "x_SAEHD")
    for hour, iteration in enumerate((100, 200, 300, 50)):
        save_small(folder.path, iteration)
        _saved_at(folder, f"2026-01-01T{hour:02d}:00:00Z")
        backup(folder, keep=2)
    assert [kept.iteration for kept in list_backups(folder)] == [300, 50]


def _saved_at(folder: ModelFolder, at: str) -> None:
    state = read_state(folder).model_copy(update={"saved_at": at})
    folder.state_file.write_text(state.model_dump_json())


def test_names(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3)
    for name in ("", ".", "..", "a/b", "a\\b", " a", "c:d"):
        with pytest.raises(InputError, match="snapshot label"):
            snapshot(folder, name)
    target = snapshot(folder, "warp done")
    assert snapshot(folder, "warp done") == target, "the same state again is no trouble"
    save_small(folder.path, 4)
    with pytest.raises(InputError, match=r"of iteration 3; choose another label"):
        snapshot(folder, "warp done")
    assert snapshot(folder, "warp done", replace=True) == target
    assert [(kept.name, kept.iteration) for kept in list_snapshots(folder)] == [("warp done", 4)]


def test_finding_and_forgetting(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3)
    with pytest.raises(InputError, match="it has none"):
        find_kept(folder, "3")
    backup(folder)
    snapshot(folder, "a")
    assert find_kept(folder, "3").kind == find_kept(folder, "00000003").kind == "backup"
    assert find_kept(folder, "a").kind == "snapshot"
    with pytest.raises(InputError, match=r"no snapshot or backup '4'; it has 'a', 00000003"):
        find_kept(folder, "4")
    forget(find_kept(folder, "a"))
    assert list_snapshots(folder) == []
    assert not list(folder.path.rglob(".tmp-*"))
    assert read_state(folder).iteration == 3
