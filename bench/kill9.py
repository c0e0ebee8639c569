"""Kill extract, train and merge with SIGKILL at random instants; each must resume to the same end.

    python bench/kill9.py SRC_CLIP DST_CLIP OUT_DIR [--kills 10] [--iterations 60] [--seed 0]

For each stage one workspace is run through undisturbed and another is killed `--kills` times,
started again after each kill, and at last left to end. The two must agree: the same faces with
the same metadata and pixels, the same loss history bit for bit, the same merged frames and masks;
and nothing half-written may be left behind.
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
import time
from pathlib import Path

TRAIN = ("resolution=64", "archi=df-ud", "ae_dims=32", "e_dims=16", "d_dims=16", "d_mask_dims=16")
SETTINGS = [part for text in TRAIN for part in ("--set", text)]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "faceloom", *map(str, arguments)]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below `folder` that is a result: no journals, caches or locks."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def leftovers(folder: Path) -> list[str]:
    return [str(p) for p in folder.rglob("*") if ".tmp-" in p.name or p.suffix == ".part"]


def run_through(*arguments: str | Path) -> float:
    started = time.monotonic()
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arguments[0]}: exit {done.returncode}: {done.stderr[-400:]}")
    return time.monotonic() - started


def killed(kills: int, seconds: float, draw: random.Random, *arguments: str | Path) -> list[float]:
    """Start and kill `kills` times, each at a random instant of what a whole run takes."""
    instants: list[float] = []
    for _ in range(kills):
        instant = draw.uniform(0.3, 1.0) if draw.random() < 0.2 else draw.uniform(1.0, seconds)
        process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(timeout=instant)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            instants.append(round(instant, 2))
    run_through(*arguments)
    return instants


def judge(stage: str, whole: Path, broken: Path, result: str, instants: list[float]) -> bool:
    expected, found = digests(whole / result), digests(broken / result)
    differing = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    left = leftovers(broken)
    good = not differing and not left and bool(expected)
    verdict = "the same" if good else f"DIFFERS: {differing[:5]} {left[:5]}"
    print(f"{stage}: {len(instants)} kills at {instants} s; {len(expected)} files, {verdict}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("src", type=Path)
    parser.add_argument("dst", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    shutil.rmtree(options.out, ignore_errors=True)
    whole, broken = options.out / "whole", options.out / "broken"
    for folder in (whole, broken):
        rights = ("--src-rights", "licence", "--dst-rights", "licence")
        run_through("new", folder, "--src", options.src, "--dst", options.dst, *rights)

    good = True
    for side in ("src", "dst"):
        arguments = ("extract", side, "-w")
        seconds = run_through(*arguments, whole)
        kills = options.kills if side == "dst" else 0
        instants = killed(kills, seconds, draw, *arguments, broken)
        if side == "dst":
            good &= judge("extract", whole, broken, "data_dst/aligned", instants)

    limits = ("--iterations", str(options.iterations), "--threads", "1", "--precision", "fp32")
    saves = ("--seed", "3", "--set", "save_every_s=2", "--set", "preview_history=false")
    train = ("train", "SAEHD", *limits, *saves, *SETTINGS, "-w")
    seconds = run_through(*train, whole)
    instants = killed(options.kills, seconds, draw, *train, broken)
    history = "model/history"
    for folder in (whole, broken):
        (folder / history).mkdir(parents=True)
        for found in (folder / "model").rglob("*"):
            if found.suffix in {".f32", ".safetensors"}:
                shutil.copy(found, folder / history / found.name)
    good &= judge("train", whole, broken, history, instants)
    for folder in (whole, broken):
        shutil.rmtree(folder / history)

    seconds = run_through("merge", "-w", whole)
    instants = killed(options.kills, seconds, draw, "merge", "-w", broken)
    for result in ("data_dst/merged", "data_dst/merged_mask"):
        good &= judge(f"merge ({result})", whole, broken, result, instants)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
