"""Managing models: what is told is what is there, and only what is named is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceloom.checkpoints import (
    ModelFolder,
    backup,
    list_snapshots,
    locked,
    read_events,
    read_state,
    snapshot,
)
from faceloom.core import Cancel, InputError, ModelError, NullProgress, RightsError, UsageError
from faceloom.core.config import validate
from faceloom.media import open_footage, write_image
from faceloom.provenance import (
    Statement,
    describe_footage,
    inspect_file,
    make_record,
    write_rights,
)
from faceloom.stages.catalog import find_stage
from faceloom.stages.model.config import ModelTimelapseConfig, NamedModel
from faceloom.stages.model.manage import chosen
from faceloom.stages.model.timelapse import ModelTimelapseResult, timelapse
from killed_writes import Killed, killer
from small_models import content, save_small


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in ("data_src", "data_dst", "model"):
        (tmp_path / name).mkdir()
    return tmp_path


def model(workspace: Path, name: str = "main_SAEHD", iteration: int = 3, seed: int = 3):
    return save_small(workspace / "model" / name, iteration, seed=seed)


def do(verb: str, workspace: Path, **values: Any) -> Any:
    """Run a verb of `faceloom model` through the stage catalog."""
    stage = find_stage(f"model {verb}")
    assert stage is not None
    config = validate(stage.settings(), {"workspace": workspace, **values}, where=verb)
    return stage.function()(config, progress=NullProgress(), cancel=Cancel())


def names(workspace: Path) -> set[str]:
    return {f"{one.name}_{one.class_name}" for one in do("list", workspace).models}


@contextmanager
def trained_elsewhere(folder: ModelFolder) -> Generator[None]:
    """Another process that holds the model, as a training does."""
    code = (
        "import sys, time; from pathlib import Path; from faceloom.core import file_lock\n"
        "with file_lock(Path(sys.argv[1]), wait=True):\n print('held', flush=True)\n time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(folder.path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "held"
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def test_list(workspace: Path) -> None:
    empty = do("list", workspace)
    assert empty.models == []
    assert "no models" in empty.lines()[0]
    first, second = model(workspace, "old_SAEHD", 5), model(workspace, "my new_SAEHD", 4)
    os.utime(first.state_file, (1, 1))
    next(second.path.glob("state-*/inter.safetensors")).unlink()
    (workspace / "model" / "bob_SAEHD_data.dat").write_bytes(b"")
    (workspace / "model" / "stray").mkdir()
    listed = do("list", workspace)
    assert [one.name for one in listed.models] == ["my new", "old"]
    damaged, old = listed.models
    assert damaged.iteration is None
    assert "inter.safetensors is missing" in damaged.trouble
    assert (old.iteration, old.in_training) == (5, False)
    # Of five losses the last two: 1/4 and 1/5.
    assert old.losses["src"] == pytest.approx((1 / 4 + 1 / 5) / 2)
    assert listed.dfl == ["bob_SAEHD"]
    assert json.loads(json.dumps(listed.as_dict()))["models"][1]["iteration"] == 5
    assert "model import" in listed.lines()[-1]


def test_a_model_in_training_is_seen_and_left_alone(workspace: Path) -> None:
    folder = model(workspace)
    before = content(folder, read_state(folder).folder)
    with trained_elsewhere(folder):
        assert do("list", workspace).models[0].in_training
        snapshot(folder, "meanwhile")
        for refused in (
            lambda: do("delete", workspace, name="main", yes=True),
            lambda: do("rename", workspace, name="main", new_name="other"),
            lambda: do("restore", workspace, state="meanwhile"),
            lambda: do("reset", workspace, networks=["inter"]),
        ):
            with pytest.raises(ModelError, match="another process is training"):
                refused()
        assert do("summary", workspace).iteration == 3
        do("copy", workspace, name="main", new_name="other")
    assert content(folder, read_state(folder).folder) == before
    assert names(workspace) == {"main_SAEHD", "other_SAEHD"}
    assert not do("list", workspace).models[0].in_training
    with locked(folder):
        pass


def test_names_and_classes(workspace: Path) -> None:
    """One name may belong to several classes, and a name may end like a class."""
    for name in ("a_SAEHD", "a_SAEHD_SAEHD", "b_SAEHD"):
        model(workspace, name)
    (workspace / "model" / "a_SAEHD").rename(workspace / "model" / "a_Quick96")

    def found(name: str | None, class_name: Any = None) -> str:
        config = NamedModel(workspace=workspace, name=name, class_name=class_name)
        return chosen(config).path.name

    assert found("a") == "a_Quick96"
    assert found("a_Quick96") == found("a_quick96") == "a_Quick96"
    assert found("a_SAEHD") == "a_SAEHD_SAEHD"
    assert found("b", "SAEHD") == "b_SAEHD"
    with pytest.raises(InputError, match="several models"):
        found(None)
    assert found(None, "quick96") == "a_Quick96"
    with pytest.raises(InputError, match="class_name: must be SAEHD, AMP, Quick96 or XSeg"):
        do("summary", workspace, name="a", class_name="H64")
    with pytest.raises(InputError, match="no trained"):
        found("nobody")


def test_delete_takes_one_model_of_one_class(workspace: Path) -> None:
    """The original deleted all classes of a name, and all names with that beginning."""
    for name in ("main_SAEHD", "main_2_SAEHD", "main2_SAEHD", "other_SAEHD"):
        model(workspace, name)
    (workspace / "model" / "other_SAEHD").rename(workspace / "model" / "main_Quick96")
    backup(ModelFolder(workspace / "model" / "main_SAEHD"))
    with pytest.raises(UsageError, match=r"main_SAEHD: iteration 3, 1 backup, 0 snapshots.*--yes"):
        do("delete", workspace, name="main", class_name="SAEHD")
    with pytest.raises(InputError, match="several models"):
        do("delete", workspace, name="main", yes=True)
    assert len(names(workspace)) == 4
    done = do("delete", workspace, name="main_SAEHD", yes=True)
    assert "main_SAEHD: iteration 3, 1 backup" in done.lines()[0]
    assert names(workspace) == {"main_2_SAEHD", "main2_SAEHD", "main_Quick96"}
    left = {entry.name for entry in (workspace / "model").iterdir()}
    assert left == {"main_2_SAEHD", "main2_SAEHD", "main_Quick96", ".managing"}


def test_a_linked_model_is_not_deleted(workspace: Path, tmp_path: Path) -> None:
    real = save_small(tmp_path / "elsewhere" / "main_SAEHD")
    (workspace / "model" / "main_SAEHD").symlink_to(real.path)
    with pytest.raises(InputError, match="is a link to"):
        do("delete", workspace, name="main", yes=True)
    assert read_state(real).iteration == 2


def test_a_killed_delete_leaves_a_whole_model_or_none(workspace: Path) -> None:
    for changes in range(0, 60, 4):
        folder = model(workspace, f"m{changes}_SAEHD")
        wanted = read_state(folder)
        killed = False
        try:
            with killer().after(changes):
                do("delete", workspace, name=folder.path.name, yes=True)
        except Killed:
            killed = True
        if folder.path.exists():
            assert read_state(folder) == wanted
            do("delete", workspace, name=folder.path.name, yes=True)
        assert names(workspace) == set()
        if not killed:
            break
    assert not killed
    assert {entry.name for entry in (workspace / "model").iterdir()} == {".managing"}


def test_rename(workspace: Path) -> None:
    folder = model(workspace)
    snapshot(folder, "a")
    wanted = content(folder, read_state(folder).folder)
    (workspace / "faceloom.toml").write_text('[merge]\nname = "main"\n[train]\nname = "other"\n')
    done = do("rename", workspace, name="main", new_name="first try")
    target = ModelFolder(workspace / "model" / "first try_SAEHD")
    assert content(target, read_state(target).folder) == wanted
    assert [kept.name for kept in list_snapshots(target)] == ["a"]
    assert names(workspace) == {"first try_SAEHD"}
    assert len(done.notes) == 1
    assert "[merge]" in done.notes[0]
    assert "[train]" not in done.notes[0]
    model(workspace, "main_SAEHD")
    with pytest.raises(InputError, match="already exists"):
        do("rename", workspace, name="main", new_name="first try")
    for bad in ("a/b", "", "..", ".x"):
        with pytest.raises(InputError, match="model name"):
            do("rename", workspace, name="main", new_name=bad)
    assert do("rename", workspace, name="main_SAEHD", new_name="b_SAEHD").new == "b_SAEHD"


def test_a_copy_goes_its_own_way(workspace: Path) -> None:
    folder = model(workspace)
    folder.previews.mkdir()
    (folder.previews / "last.jpg").write_bytes(b"picture")
    snapshot(folder, "a")
    old = read_state(folder)
    wanted = content(folder, old.folder)
    do("copy", workspace, name="main", new_name="b")
    copied = ModelFolder(workspace / "model" / "b_SAEHD")
    assert content(copied, read_state(copied).folder) == wanted
    assert (copied.previews / "last.jpg").read_bytes() == b"picture"
    assert list_snapshots(copied) == []
    save_small(copied.path, 9, seed=8)
    assert read_state(folder) == old
    assert content(folder, old.folder) == wanted
    assert len(folder.history_file.read_bytes()) == 3 * 8
    with pytest.raises(InputError, match="already exists"):
        do("copy", workspace, name="main", new_name="b")


def test_snapshot_go_on_restore_and_back(workspace: Path) -> None:
    folder = model(workspace, iteration=3)
    wanted = content(folder, read_state(folder).folder)
    done = do("snapshot", workspace, label="before gan")
    assert done.iteration == 3
    model(workspace, iteration=6, seed=9)
    newer = content(folder, read_state(folder).folder)
    back = do("restore", workspace, state="before gan", name="main_SAEHD")
    assert content(folder, read_state(folder).folder) == wanted
    assert back.replaced == "00000006"
    assert "00000006" in back.lines()[1]
    forth = do("restore", workspace, state="6")
    assert content(folder, read_state(folder).folder) == newer
    assert forth.kind == "backup"
    assert [one.iteration for one in do("snapshots", workspace).kept] == [3]
    assert "before gan" in do("snapshots", workspace).lines()[0]
    assert do("backup", workspace).iteration == 6
    dropped = do("forget", workspace, state="before gan")
    assert "deleted snapshot 'before gan'" in dropped.lines()[0]
    assert do("snapshots", workspace).lines() == ["main_SAEHD: none"]
    kinds = [event.kind for event in read_events(folder.events_file)]
    assert kinds == ["snapshot", "restored", "restored", "backup"]
    assert len(do("backups", workspace).kept) == 2


def test_reset(workspace: Path) -> None:
    folder = model(workspace)
    before = content(folder, read_state(folder).folder)
    done = do("reset", workspace, networks=["inter"])
    now = content(folder, read_state(folder).folder)
    assert {name for name in now if now[name] != before[name]} == {
        "inter.safetensors",
        "src_dst_opt.safetensors",
    }
    do("restore", workspace, state=done.snapshot)
    assert content(folder, read_state(folder).folder) == before


def test_timelapse_is_made_only_with_rights_and_signed(workspace: Path) -> None:
    folder = model(workspace)
    for number in range(3):
        image = np.full((64, 96, 3), 80 * number, np.uint8)
        (folder.previews / "masked").mkdir(parents=True, exist_ok=True)
        write_image(folder.previews / "masked" / f"{number:08d}.jpg", image)
    for side in ("src", "dst"):
        write_image(workspace / f"data_{side}" / "1.png", np.zeros((8, 8, 3), np.uint8))
    config = ModelTimelapseConfig(workspace=workspace, preview="masked", fps=4)

    def make(config: ModelTimelapseConfig) -> ModelTimelapseResult:
        return timelapse(config, progress=NullProgress(), cancel=Cancel())

    with pytest.raises(RightsError):
        make(config)
    src, dst = (
        Statement(ground="own", files=describe_footage(workspace, workspace / f"data_{side}"))
        for side in ("src", "dst")
    )
    write_rights(workspace, make_record(src, dst))
    done = make(config)
    target = folder.path / "timelapse_masked.mp4"
    assert done.output == target
    # Three pictures, the last of which stays two seconds.
    assert len(open_footage(target)) == done.frames == 3 + 2 * 4 - 1
    report = inspect_file(target, workspace_dir=workspace)
    assert report.state == "valid"
    with pytest.raises(InputError, match="no preview history"):
        make(ModelTimelapseConfig(workspace=workspace, preview="morph"))
    assert not list(folder.path.glob(".tmp-*"))
