"""Kill extract, train and merge at random moments; each must resume without a trace.

    python bench/kill9.py --kills 10            # all three
    python bench/kill9.py train --kills 3 --frames 40

Each stage runs once undisturbed in a copy of a small workspace made from the demo's clips. In
another copy it is started repeatedly and ended by SIGKILL at a random moment, and finally runs to
the end. Both results must be identical: the same files with the same bytes (faces with their
metadata, losses and weights, merged frames and masks), and no temporary files. A stage that ends
before it is killed counts as a completed run: it is compared, and starts again from scratch.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from faceloom.core import Cancel, NullProgress
from faceloom.core.vocabulary import SIDES
from faceloom.stages import new
from faceloom.stages.config import NewConfig
from faceloom.stages.demo.clips import clip_path, make_clip

MODEL = "killed"
SMALL = {"resolution": 64, "archi": "df", "ae_dims": 32, "e_dims": 16, "d_dims": 16}
Outcome = dict[str, str]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def pictures(*folders: Path) -> Outcome:
    return {
        str(Path(folder.parent.name, folder.name, file.name)): digest(file)
        for folder in folders
        if folder.is_dir()
        for file in sorted(folder.iterdir())
        if file.suffix in {".jpg", ".png"}
    }


def extracted(workspace: Path) -> Outcome:
    return pictures(*(workspace / f"data_{side}" / "aligned" for side in SIDES))


def trained(workspace: Path) -> Outcome:
    """Losses and tensors; the state folder's own name is random."""
    model = workspace / "model" / f"{MODEL}_SAEHD"
    states = list(model.glob("state-*/*.safetensors"))
    outcome = {file.name: digest(file) for file in states}
    outcome["history"] = digest(model / "history.f32") if states else ""
    outcome["state folders"] = str(len(list(model.glob("state-*/"))))
    return outcome


def merged(workspace: Path) -> Outcome:
    return pictures(*(workspace / "data_dst" / name for name in ("merged", "merged_mask")))


def commands(iterations: int) -> dict[str, tuple[list[list[str]], Callable[[Path], Outcome]]]:
    """The command lines of each stage, and the files it produces."""
    shape = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    train = ["train", "SAEHD", "--name", MODEL, "--iterations", str(iterations), "--device", "cpu"]
    train += ["--precision", "fp32", "--threads", "1", "--set", "save_every_s=0.5", *shape]
    merge = ["merge", "--name", MODEL, "--device", "cpu", "--set", "threads=1"]
    return {
        "extract": ([["extract", side, "--image-size", "128"] for side in SIDES], extracted),
        "train": ([train], trained),
        "merge": ([merge], merged),
    }


def faceloom(arguments: list[str], workspace: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "faceloom", *arguments, "-w", str(workspace)],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def run_through(lines: list[list[str]], workspace: Path, log: Path) -> float:
    began = time.monotonic()
    for arguments in lines:
        process = faceloom(arguments, workspace, log)
        if process.wait() != 0:
            tail = log.read_text(errors="replace")[-600:]
            raise SystemExit(f"{' '.join(arguments)} failed:\n{tail}")
    return time.monotonic() - began


def run_until_killed(lines: list[list[str]], workspace: Path, log: Path, after_s: float) -> bool:
    """Run and kill after that time; False if it ended before."""
    until = time.monotonic() + after_s
    for arguments in lines:
        process = faceloom(arguments, workspace, log)
        try:
            process.wait(timeout=max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        if process.returncode != 0:
            tail = log.read_text(errors="replace")[-600:]
            raise SystemExit(f"resuming {' '.join(arguments)} failed:\n{tail}")
    return False


def compare(expected: Outcome, found: Outcome, workspace: Path) -> list[str]:
    troubles = [f"missing: {name}" for name in expected.keys() - found.keys()]
    troubles += [f"too many: {name}" for name in found.keys() - expected.keys()]
    both = expected.keys() & found.keys()
    troubles += [f"differs: {name}" for name in both if expected[name] != found[name]]
    leftovers = [p for p in workspace.rglob("*") if ".tmp-" in p.name or "unfinished" in p.name]
    troubles += [f"left behind: {path.relative_to(workspace)}" for path in leftovers]
    return sorted(troubles)


def make_base(folder: Path, frames: int) -> None:
    for side in SIDES:
        make_clip(folder, side, frames, 2, progress=NullProgress(), cancel=Cancel())
    config = NewConfig(
        workspace=folder,
        src=clip_path(folder, "src"),
        dst=clip_path(folder, "dst"),
        src_rights="public-domain",
        dst_rights="public-domain",
    )
    new.run(config, progress=NullProgress(), cancel=Cancel())


def torture(stage: str, base: Path, root: Path, kills: int, iterations: int, seed: int) -> bool:
    """Test one stage; returns whether all results match. Completes the stage in `base`."""
    lines, outcome = commands(iterations)[stage]
    generator = random.Random(f"{seed} {stage}")
    log, whole, victim = root / f"{stage}.log", root / "whole", root / "victim"
    shutil.copytree(base, whole)
    length = run_through(lines, whole, log)
    expected = outcome(whole)
    shutil.copytree(base, victim)
    instants: list[float] = []
    finished = 0
    troubles: list[str] = []
    while len(instants) < kills:
        after = generator.uniform(0.05, length)
        if run_until_killed(lines, victim, log, after):
            instants.append(after)
            continue
        finished += 1
        troubles += compare(expected, outcome(victim), victim)
        shutil.rmtree(victim)
        shutil.copytree(base, victim)
    run_through(lines, victim, log)
    troubles += compare(expected, outcome(victim), victim)
    at = ", ".join(f"{instant:.1f}" for instant in instants)
    verdict = "same outcome" if not troubles else f"{len(troubles)} TROUBLES"
    print(f"{stage}: {length:.1f} s undisturbed, {len(expected)} files; {kills} kills at {at} s;")
    print(f"  {finished + 1} completed runs compared: {verdict}", flush=True)
    for trouble in troubles[:20]:
        print(f"  {trouble}")
    shutil.rmtree(base)
    whole.rename(base)
    shutil.rmtree(victim)
    return not troubles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stage", nargs="*", choices=["extract", "train", "merge", []])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wanted = arguments.stage or ["extract", "train", "merge"]
    with tempfile.TemporaryDirectory(prefix="faceloom-kill9-") as name:
        root = Path(name)
        base = root / "base"
        make_base(base, arguments.frames)
        good = True
        for stage in ("extract", "train", "merge"):
            if stage in wanted:
                kills = arguments.kills
                good &= torture(stage, base, root, kills, arguments.iterations, arguments.seed)
            elif any(later in wanted for later in ("train", "merge")):
                lines, _ = commands(arguments.iterations)[stage]
                run_through(lines, base, root / f"{stage}.log")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
