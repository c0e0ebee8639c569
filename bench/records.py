"""Measure how a very large faceset opens, sorts and is renamed.

    python bench/records.py [--count 100000] [--folder DIR]

Creates that many tiny faces with full metadata in a temporary folder (or in DIR, where they stay
and are used again). Reports, each in a fresh process: the first opening (every file is read), the
second one, reading all records, a sort by a stored value with renaming, undo, and the measure cache
(128 numbers per face). Memory is the growth of the resident set beyond that of the modules.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from faceloom.faces import (
    INDEX_NAME,
    FaceRecord,
    Faceset,
    MeasureCache,
    Move,
    OwnMetadata,
    encode_face,
    move_faces,
    undo_moves,
)
from faceloom.geometry import MODEL_POINTS_3D, frame_to_face, transform_points

SIZE_PX = 16


def make(folder: Path, count: int) -> None:
    """Create `count` faces with varying poses; the files are some minutes old."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    picture = np.asarray(cv2.resize(noise, (SIZE_PX, SIZE_PX)), np.uint8)
    old_ns = time.time_ns() - 600_000_000_000
    for i in range(count):
        path = folder / f"{i:06d}_0.jpg"
        path.write_bytes(encode_face(picture, _record(i, rng)))
        stamp_ns = old_ns + i * 1000
        os.utime(path, ns=(stamp_ns, stamp_ns))


def _record(i: int, rng: np.random.Generator) -> FaceRecord:
    angle = rng.uniform(-60, 60, 3)
    turn = np.asarray(cv2.Rodrigues(np.radians(angle * [0.5, 1, 0.3]))[0])
    points = (MODEL_POINTS_3D @ turn.T)[:, :2] * 2 + rng.uniform(300, 900, 2)
    points = points.astype(np.float32)
    matrix = frame_to_face(points, SIZE_PX, "whole_face")
    embedding = rng.standard_normal(128).astype(np.float32)
    own = OwnMetadata(
        frame_index=i,
        track=i // 500,
        detector="yunet",
        score=float(rng.uniform(0.6, 1)),
        presence=8.0,
        pose=(float(angle[0]), float(angle[1]), float(angle[2])),
        embedding=embedding / np.linalg.norm(embedding),
        quality=float(rng.uniform()),
    )
    low, high = points.min(axis=0), points.max(axis=0)
    record = FaceRecord(
        face_type="whole_face",
        landmarks=transform_points(points, matrix),
        source_filename=f"{i:06d}.png",
        source_rect=np.array([*low, *high]).astype(np.int32),
        source_landmarks=points,
        image_to_face_mat=matrix,
    )
    return replace(record, own=own)


def rss_mb() -> float:
    """The resident set of this process."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def cpu_s() -> float:
    """CPU time of this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure(folder: Path, what: str) -> dict[str, float | str]:
    """One figure, in this process."""
    tasks: dict[str, Callable[[Path], object]] = {
        "open": Faceset,
        "records": lambda folder: list(Faceset(folder)),
        "sort": sort,
        "undo": undo_moves,
        "write measures": write_measures,
        "read measures": read_measures,
    }
    before, start, cpu = rss_mb(), time.perf_counter(), cpu_s()
    kept = tasks[what](folder)
    seconds, cpu = time.perf_counter() - start, cpu_s() - cpu
    figures: dict[str, float | str] = {"seconds": seconds, "cpu_s": cpu, "mb": rss_mb() - before}
    if isinstance(kept, str):
        figures["note"] = kept
    return figures


def sort(folder: Path) -> str:
    """Rename by yaw, as `faceloom sort` does."""
    start = time.perf_counter()
    faces = [(own.pose[1], path) for path, r in Faceset(folder) if (own := r.own) and own.pose]
    faces.sort()
    ordered = time.perf_counter()
    ways = [Move(path, folder / f"{i:06d}.jpg") for i, (_, path) in enumerate(faces)]
    move_faces(folder, ways, label="sort by yaw")
    return f"order {ordered - start:.2f} s, renames {time.perf_counter() - ordered:.2f} s"


def write_measures(folder: Path) -> None:
    names = [path.name for path in Faceset(folder).paths]
    values = np.random.default_rng(0).standard_normal((len(names), 128)).astype(np.float32)
    with MeasureCache(folder) as cache:
        cache.write("vector", 1, dict(zip(names, values, strict=True)))


def read_measures(folder: Path) -> str:
    names = [path.name for path in Faceset(folder).paths]
    start = time.perf_counter()
    with MeasureCache(folder) as cache:
        found = cache.read("vector", 1, names)
    assert len(found) == len(names)
    return f"reading alone {time.perf_counter() - start:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.folder, options.measure)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "aligned"
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.glob("*.jpg")):
            start = time.perf_counter()
            make(folder, options.count)
            print(f"made {options.count} faces in {time.perf_counter() - start:.1f} s")
        count = sum(1 for _ in folder.glob("*.jpg"))
        (folder / INDEX_NAME).unlink(missing_ok=True)
        for what in (
            "open",
            "open",
            "records",
            "write measures",
            "read measures",
            "sort",
            "read measures",
            "undo",
        ):
            told = subprocess.run(
                [sys.executable, __file__, "--folder", str(folder), "--measure", what],
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            figures = json.loads(told)
            print(
                f"{what:15} {figures['seconds']:7.2f} s ({figures['cpu_s']:.2f} of CPU)  "
                f"{count / figures['seconds']:9.0f} faces/s  {figures['mb']:7.1f} MiB  "
                f"{figures['mb'] * 1024 / count:5.2f} KiB a face  {figures.get('note', '')}"
            )
        size = (folder / INDEX_NAME).stat().st_size
        print(f"index {size / 1e6:.1f} MB, {size / count / 1024:.2f} KiB per face")


if __name__ == "__main__":
    main()
