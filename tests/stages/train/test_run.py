"""The train stage and its command, end to end on drawn faces."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faceloom.checkpoints import ModelFolder, load_history, read_state
from faceloom.core import Cancel, InputError, NullProgress
from faceloom.stages.train.config import TrainConfig
from faceloom.stages.train.run import TrainResult, run
from synthetic_faces import write_faceset

SMALL = {
    "resolution": 64,
    "archi": "df-ud",
    "ae_dims": 32,
    "e_dims": 16,
    "d_dims": 16,
    "batch_size": 1,
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for side, hue in (("src", 12), ("dst", 99)):
        write_faceset(tmp_path / f"data_{side}" / "aligned", 4, size=64, hue=hue)
    return tmp_path


def train(workspace: Path, notes: NullProgress | None = None, **values: Any) -> TrainResult:
    config = TrainConfig(workspace=workspace, device="cpu", precision="fp32", threads=1, **values)
    return run(config, progress=notes or NullProgress(), cancel=Cancel())


def losses(result: TrainResult) -> np.ndarray:
    folder = ModelFolder(result.model)
    return load_history(folder, read_state(folder)).values


def test_train_resume_and_what_is_left(workspace: Path, tmp_path: Path) -> None:
    first = train(workspace, settings=SMALL, iterations=2, seed=5)
    assert first.model == workspace / "model" / "main_SAEHD"
    assert (first.first_iteration, first.iteration, first.cancelled) == (0, 2, False)
    assert first.preview.is_file()
    assert (first.model / "loss.png").is_file()
    again = train(workspace, iterations=4, seed=99)
    assert (again.first_iteration, again.iteration) == (2, 4)
    other = train(workspace, name="whole", settings=SMALL, iterations=4, seed=5)
    assert np.array_equal(losses(again), losses(other))
    assert json.loads(json.dumps(again.as_dict()))["iteration"] == 4
    with pytest.raises(InputError, match="several SAEHD models"):
        train(workspace, iterations=5)
    nothing = train(workspace, name="main", iterations=4)
    assert "nothing to do" in nothing.lines()[0]


def test_settings_on_resume(workspace: Path) -> None:
    train(workspace, settings=SMALL, iterations=1)
    with pytest.raises(InputError, match="resolution is 64 and cannot change to 96"):
        train(workspace, iterations=2, changes=("resolution=96",))
    result = train(workspace, changes=("random_warp=false", "target_iter=3", "batch_size=2"))
    assert result.iteration == 3
    state = read_state(ModelFolder(result.model))
    assert state.settings["random_warp"] is False
    assert state.settings["batch_size"] == 2


def test_changed_facesets_are_reported(workspace: Path) -> None:
    train(workspace, settings=SMALL, iterations=1)
    (workspace / "data_src" / "aligned" / "00001_0.png").unlink()
    notes = NullProgress()
    assert train(workspace, notes, iterations=2).iteration == 2
    assert any("4 faces before, 3 now" in note for note in notes.notes)


def test_missing_faces_leave_no_model(tmp_path: Path) -> None:
    (tmp_path / "data_src").mkdir()
    with pytest.raises(InputError):
        train(tmp_path, settings=SMALL, iterations=1)
    assert not (tmp_path / "model" / "main_SAEHD").exists()


def command(workspace: Path, *arguments: str) -> list[str]:
    small = [f"--set={key}={value}" for key, value in SMALL.items()]
    return [
        *(sys.executable, "-m", "faceloom.cli.main", "train", "SAEHD", "-w", str(workspace)),
        *("--device", "cpu", "--precision", "fp32", "--threads", "1", *small, *arguments),
    ]


def test_command_line(workspace: Path) -> None:
    done = subprocess.run(
        command(workspace, "--iterations", "2", "--json"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["iteration"] == 2
    wrong = subprocess.run(
        command(workspace, "--set", "ae_dims=64"), capture_output=True, text=True
    )
    assert wrong.returncode == 1
    assert len(wrong.stderr.strip().splitlines()) == 1
    assert "ae_dims is 32 and cannot change to 64" in wrong.stderr


def test_kill_and_interrupt_at_any_instant(workspace: Path) -> None:
    """kill -9 twice while it saves all the time, then Ctrl-C; the losses are those of a run that
    nobody disturbed."""
    always = command(workspace, "--set", "save_every_s=0.001")
    chance = random.Random(4)
    seen = 0
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen(always, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            folder = ModelFolder(workspace / "model" / "main_SAEHD")
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                if folder.exists and read_state(folder).iteration > seen:
                    break
                time.sleep(0.01)
            time.sleep(chance.random() * 0.3)
            os.kill(process.pid, number)
            process.communicate(timeout=60)
        state = read_state(folder)
        assert state.iteration > seen
        seen = state.iteration
        assert process.returncode == (130 if number == signal.SIGINT else -number)
    disturbed = train(workspace, iterations=seen + 1)
    calm = train(workspace, name="calm", settings=SMALL, iterations=seen + 1)
    assert np.array_equal(losses(disturbed), losses(calm))
    states = [entry for entry in folder.path.iterdir() if entry.name.startswith((".tmp", "state-"))]
    assert len(states) == 1


def test_threads_are_put_back(workspace: Path) -> None:
    before = torch.get_num_threads()
    train(workspace, settings=SMALL, iterations=1)
    assert torch.get_num_threads() == before
