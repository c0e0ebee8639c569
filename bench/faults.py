"""Inject faults into trainings at random iterations, and show what the model's log says.

    python bench/faults.py WORKSPACE [--iterations 300] [--seed 0]

Each fault hits a small SAEHD model of its own in the workspace, which must have facesets:

* a NaN gradient in one step;
* a collapse: the learning rate is a thousand times too high for a while;
* a full disk while saving: the model's folder is on a small file system (tmpfs, needs root) that is
  filled for a while and then freed;
* SIGKILL, after which the same command runs again.

The last one must give the same losses as an undisturbed run, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np

from faceloom.checkpoints import ModelFolder, load_history, read_events, read_state

SMALL = ["resolution=64", "archi=df-ud", "ae_dims=32", "e_dims=16", "d_dims=16", "batch_size=2"]
RUN = "from faceloom.cli.main import main; main()"
NAN = """
import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
count = 0
def spoil(optimizer, args, kwargs):
    global count
    count += 1
    if count == {at}:
        optimizer.param_groups[0]["params"][3].grad.view(-1)[5] = float("nan")
register_optimizer_step_pre_hook(spoil)
"""
JUMP = """
from torch.optim.optimizer import register_optimizer_step_pre_hook
count = 0
def leap(optimizer, args, kwargs):
    global count
    count += 1
    for group in optimizer.param_groups:
        if count == {at}:
            group["lr"] *= 1000
        if count == {at} + 60:
            group["lr"] /= 1000
register_optimizer_step_pre_hook(leap)
"""


def start(workspace: Path, name: str, iterations: int, patch: str = "") -> subprocess.Popen[str]:
    arguments = ["train", "SAEHD", "-w", str(workspace), "--name", name, "--precision", "fp32"]
    arguments += ["--threads", "1", "--device", "cpu", "--iterations", str(iterations)]
    for text in (*SMALL, "save_every_s=2", "preview_every_s=60"):
        arguments += ["--set", text]
    code = f"import sys; sys.argv = ['faceloom', *{arguments!r}]\n{textwrap.dedent(patch)}\n{RUN}"
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def report(title: str, folder: ModelFolder, process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    print(f"\n{title}: exit code {process.returncode}")
    if process.returncode not in (0, -signal.SIGKILL):
        print("  ", errors.strip().splitlines()[-1])
    for event in read_events(folder.events_file):
        print(f"  {event.iteration:6d} {event.kind:12s} {event.message[:150]}")
    state = read_state(folder)
    losses = load_history(folder, state).values
    print(f"  ended at {state.iteration}, loss {losses[-20:].mean():.4f}, risk {state.risk}")


def wait_for(folder: ModelFolder, iteration: int) -> None:
    while not folder.exists or read_state(folder).iteration < iteration:
        time.sleep(0.05)


def full_disk(workspace: Path, name: str, iterations: int) -> None:
    folder = ModelFolder(workspace / "model" / f"{name}_SAEHD")
    folder.path.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400m", "none", str(folder.path)], check=True
    )
    try:
        process = start(workspace, name, iterations)
        wait_for(folder, 2)
        ballast = folder.path / "ballast"
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                pass
        print(f"disk full after iteration {read_state(folder).iteration}")
        time.sleep(8)
        ballast.unlink()
        print(f"disk free again; the saved state is from iteration {read_state(folder).iteration}")
        report("full disk", folder, process)
    finally:
        subprocess.run(["umount", "-l", str(folder.path)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    workspace, iterations = options.workspace, options.iterations
    chance = random.Random(options.seed)
    stamp = f"fault{os.getpid()}"

    def folder(name: str) -> ModelFolder:
        return ModelFolder(workspace / "model" / f"{name}_SAEHD")

    at = chance.randrange(20, iterations - 20)
    name = f"{stamp}-nan"
    report(
        f"NaN in a gradient of step {at}",
        folder(name),
        start(workspace, name, iterations, NAN.format(at=at)),
    )
    at, name = chance.randrange(620, 700), f"{stamp}-jump"
    report(
        f"learning rate ×1000 from step {at}",
        folder(name),
        start(workspace, name, 900, JUMP.format(at=at)),
    )
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        full_disk(workspace, f"{stamp}-full", iterations)
    else:
        print("\nfull disk: skipped, needs root")
    calm, killed = f"{stamp}-calm", f"{stamp}-kill"
    start(workspace, calm, iterations).communicate()
    process = start(workspace, killed, iterations)
    wait_for(folder(killed), chance.randrange(2, iterations // 2))
    time.sleep(chance.random())
    process.kill()
    report("SIGKILL", folder(killed), process)
    report("the same command again", folder(killed), start(workspace, killed, iterations))
    one, two = (load_history(folder(x), read_state(folder(x))).values for x in (calm, killed))
    print(f"  losses equal to an undisturbed run: {np.array_equal(one, two)}")


if __name__ == "__main__":
    main()
