"""The summary of a model: figures that can be counted another way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faceloom.checkpoints import ModelFolder, backup, read_state, save_state
from faceloom.checkpoints.events import EventLog
from faceloom.checkpoints.progress import Risk
from faceloom.checkpoints.snapshots import snapshot
from faceloom.core import ModelError
from faceloom.stages.model.summary import disk_use, summarize, summarize_losses
from faceloom.training.recipes import load_recipe
from small_models import falling_losses, save_small, small_model


def test_figures(tmp_path: Path) -> None:
    folder, model = ModelFolder(tmp_path / "my_model_SAEHD"), small_model()
    save_state(
        folder,
        model,
        falling_losses(10),
        seed=3,
        trained_s=3725.0,
        facesets={"src": "512 abcd", "dst": "34 ef"},
        device="Some GPU",
        precision="bf16",
        risk=Risk(lr_factor=0.25, clipgrad=True, rollbacks=2),
    )
    log = EventLog(folder.events_file)
    for number in range(12):
        log.write("plateau", number, f"the loss stands still {number}")
    snapshot(folder, "warp done")
    summary = summarize(folder)
    assert (summary.name, summary.class_name, summary.iteration) == ("my_model", "SAEHD", 10)
    assert summary.parameters == {
        name: sum(value.numel() for value in network.state_dict().values())
        for name, network in model.networks().items()
    }
    assert summary.settings["ae_dims"] == 32
    src = summary.losses["src"]
    assert src.window == 5
    assert src.mean == pytest.approx(sum(1 / n for n in range(6, 11)) / 5, rel=1e-5)
    assert src.change == pytest.approx(
        sum(1 / n for n in range(6, 11)) / sum(1 / n for n in range(1, 6)) - 1, rel=1e-5
    )
    assert summary.facesets == {"src": 512, "dst": 34}
    assert summary.risk == {"lr_factor": 0.25, "clipgrad": True, "rollbacks": 2}
    assert summary.snapshots == {"warp done": 10}
    assert [event["iteration"] for event in summary.events] == list(range(2, 12))
    data = json.loads(json.dumps(summary.as_dict()))
    assert data["disk"]["total"] == summary.disk.total
    text = "\n".join(summary.lines())
    for part in ("my_model_SAEHD", "1 h 2 min", "Some GPU", "rollbacks: 2", "× 0.25", "warp done"):
        assert part in text
    box = [line for line in summary.lines() if line.startswith("==")]
    assert len({len(line) for line in box}) == 1
    assert all(line.endswith("==") for line in box)
    names = {f"stage-{i}-warp": i for i in range(40)}
    lines = replace(summary, snapshots=names).lines()
    assert all(any(name in line for line in lines) for name in names)
    assert len({len(line) for line in lines if line.startswith("==")}) == 1
    assert max(len(line) for line in lines if line.startswith("==")) < 120


def test_pretraining_shows_what_is_in_force(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3, pretrain=True, random_warp=True)
    summary = summarize(folder)
    assert summary.settings["random_warp"] is True
    assert summary.overridden["random_warp"] is False
    assert any(line.split("random_warp: ")[-1].startswith("False (pretraining; otherwise True)")
               for line in summary.lines() if "random_warp" in line)  # fmt: skip


def test_place_in_a_recipe(tmp_path: Path) -> None:
    stages = ["warp", "sharp"]
    name = tmp_path / "own.toml"
    name.write_text(
        'about = "Two stages."\nmodel = "SAEHD"\n'
        '[[stages]]\nname = "warp"\niterations = 10\n[[stages]]\nname = "sharp"\n'
    )
    progress = load_recipe(str(name)).start(0, 0.0)
    folder = save_small(tmp_path / "x_SAEHD", 3)
    for stage, expected in ((0, stages[0]), (len(stages), "done")):
        now = progress.model_copy(update={"stage": stage})
        state = read_state(folder).model_copy(update={"recipe": now})
        folder.state_file.write_text(state.model_dump_json())
        recipe = summarize(folder).recipe
        assert recipe is not None
        assert (recipe["stage_name"], recipe["stages"]) == (expected, len(stages))
    name.unlink()
    recipe = summarize(folder).recipe
    assert recipe is not None
    assert (recipe["stage"], recipe["stages"], recipe["stage_name"]) == (3, None, None)


def test_losses_that_are_few_or_lost() -> None:
    none = summarize_losses(np.zeros((0, 2), np.float32), ("src", "dst"))
    assert none["src"].mean is None
    assert none["dst"].change is None
    one = summarize_losses(np.array([[0.5]], np.float32), ("mask",))["mask"]
    assert (one.mean, one.change) == (0.5, None)
    rows = np.full((6, 1), np.nan, np.float32)
    rows[4] = 2.0
    lost = summarize_losses(rows, ("mask",))["mask"]
    assert (lost.mean, lost.change) == (2.0, None)


def test_shared_files_count_once(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3)
    alone = disk_use(folder)
    expected = sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file())
    assert (alone.state, alone.kept, alone.previews) == (expected, 0, 0)
    target = backup(folder)
    linked = disk_use(folder)
    assert linked.state == alone.state
    own = sum(f.stat().st_size for f in target.iterdir() if f.is_file())
    assert linked.kept == own, "only its own copies of history and state.json"
    folder.previews.mkdir()
    (folder.previews / "last.jpg").write_bytes(b"x" * 1000)
    assert disk_use(folder).previews == 1000
    save_small(folder.path, 4, seed=9)
    assert disk_use(folder).kept > 100 * own, "the backup stands alone now"
    assert disk_use(folder).total == sum(
        {f.stat().st_ino: f.stat().st_size for f in folder.path.rglob("*") if f.is_file()}.values()
    )


def test_damage_is_told(tmp_path: Path) -> None:
    folder = save_small(tmp_path / "x_SAEHD", 3)
    file = folder.path / read_state(folder).folder / "inter.safetensors"
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(ModelError, match="cannot be read"):
        summarize(folder)
