"""The train command under torchrun: two processes train as one with twice the batch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from faceloom.checkpoints import ModelFolder, load_history, read_events, read_state
from synthetic_faces import write_faceset

SMALL = ("resolution=64", "archi=df-ud", "ae_dims=32", "e_dims=16", "d_dims=16", "clipgrad=true")


def train(workspace: Path, name: str, iterations: int, *, processes: int, batch: int) -> None:
    launch = ["torchrun", "--standalone", "--nproc-per-node", str(processes), "-m"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", *launch[1:]]
    plain = [sys.executable, "-m"]
    command = [
        *(torchrun if processes > 1 else plain),
        *("faceloom", "train", "SAEHD", "-w", str(workspace), "--name", name),
        *("--device", "cpu", "--precision", "fp32", "--threads", "1"),
        *("--iterations", str(iterations), "--batch", str(batch)),
        *(part for text in SMALL for part in ("--set", text)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def losses(workspace: Path, name: str) -> np.ndarray:
    folder = ModelFolder(workspace / "model" / f"{name}_SAEHD")
    return load_history(folder, read_state(folder)).values


def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    """And a single process goes on where the two stopped."""
    for side, hue in (("src", 12), ("dst", 99)):
        write_faceset(tmp_path / f"data_{side}" / "aligned", 5, size=64, hue=hue)
    train(tmp_path, "one", 9, processes=1, batch=2)
    train(tmp_path, "mixed", 7, processes=2, batch=1)
    train(tmp_path, "mixed", 9, processes=1, batch=2)
    one, mixed = losses(tmp_path, "one"), losses(tmp_path, "mixed")
    assert one.shape == mixed.shape == (9, 2)
    assert np.allclose(one, mixed, rtol=2e-4)
    folder = ModelFolder(tmp_path / "model" / "mixed_SAEHD")
    assert read_state(folder).ranks == 1
    assert [event.kind for event in read_events(folder.events_file)] == [
        "started",
        "resumed",
        "settings",
    ]
