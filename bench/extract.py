"""Measure extraction speed from decoding to written faces, and the share of each step.

    python bench/extract.py CLIP [--size 512] [--repeat 3]

Extracts the clip into a temporary workspace `repeat` times and reports the best run, since other
work on the machine only slows a run down.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from faceloom.core import Cancel, NullProgress
from faceloom.stages.extract.run import ExtractConfig, ExtractResult, run
from faceloom.weights import fetch
from faceloom.workspace.layout import create_workspace, set_footage


def measure(clip: Path, size: int) -> tuple[ExtractResult, float]:
    """One extraction and the CPU seconds it took."""
    with tempfile.TemporaryDirectory(prefix="faceloom-bench-") as folder:
        workspace = create_workspace(Path(folder))
        set_footage(workspace, "dst", clip)
        config = ExtractConfig(workspace=Path(folder), side="dst", image_size=size)
        before = time.process_time()
        result = run(config, progress=NullProgress(), cancel=Cancel())
        return result, time.process_time() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    for name in ("yunet", "face-landmarker"):
        fetch(name)
    runs = [measure(options.clip, options.size) for _ in range(options.repeat)]
    result, cpu_s = max(runs, key=lambda item: item[0].fps)
    rates = ", ".join(f"{item.fps:.1f}" for item, _ in runs)
    print(f"{options.clip.name}: {result.frames} frames, {result.faces} faces of {options.size} px")
    print(f"best {result.fps:.1f} frames/s on {os.cpu_count()} cores (all: {rates})")
    print(f"CPU time {1000 * cpu_s / result.frames:.1f} ms per frame")
    for step, share in result.busy.items():
        per_frame = 1000 * share * result.seconds / result.frames
        cpu = result.cpu_ms[step]
        print(
            f"{step:10} at work {share:4.0%} of the run, {per_frame:5.1f} ms a frame, CPU {cpu} ms"
        )


if __name__ == "__main__":
    main()
