"""Measure the cost of face measures: CPU time per face for each, and for a folder in all.

    python bench/measures.py FOLDER [--faces 200] [--threads N] [--each 40]

Copies some faces, spread over FOLDER, to a temporary folder; FOLDER itself is not touched.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import cv2

from faceloom.core import Cancel, NullProgress
from faceloom.faces import INDEX_NAME, Faceset
from faceloom.stages.measure import COLUMNS, measure_faces
from faceloom.stages.measure.kinds import KINDS, Face, Measurer, kinds_for

GROUPS = {
    "record": ("pitch_deg", "yaw_deg", "source_size", "rect_area"),
    "header": ("dfl_pitch", "legacy_yaw"),
    "tone and hashes": ("brightness", "hist", "hist_gray", "phash", "light", "sharpness"),
    "DFL's sharpness": ("cpbd", "motion_blur"),
    "mesh": ("blendshapes", "occlusion"),
    "identity": ("embedding",),
    "everything": COLUMNS,
}


def each(folder: Path, count: int) -> None:
    """CPU time per face of each kind of measure, in one thread, with the picture decoded."""
    cv2.setNumThreads(1)
    faces = list(Faceset(folder))[:count]
    measurer = Measurer({kind.group for kind in KINDS.values()}, progress=NullProgress())
    measurer.measure(*faces[0], list(KINDS.values()))
    decoded, start = [], time.thread_time()
    for path, record in faces:
        face = Face(path, record, measurer)
        assert face.image.size
        decoded.append((path, record))
    print(f"{'reading and decoding':22} {1e3 * (time.thread_time() - start) / len(faces):7.2f} ms")
    for kind in KINDS.values():
        spent = 0.0
        for path, record in decoded:
            face = Face(path, record, measurer)
            assert face.image.size and face.gray.size and face.mask.size
            start = time.thread_time()
            kind.measure(face)
            spent += time.thread_time() - start
        print(f"{kind.name:22} {1e3 * spent / len(faces):7.2f} ms")


def whole(folder: Path, threads: int) -> None:
    """Time of `measure_faces` for groups of columns, without and with cached values."""
    for name, columns in GROUPS.items():
        (folder / INDEX_NAME).unlink(missing_ok=True)
        list(Faceset(folder))
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            table = measure_faces(
                folder, columns, workers=threads, progress=NullProgress(), cancel=Cancel()
            )
            seconds.append(time.perf_counter() - start)
        rate = len(table) / seconds[0]
        kinds = len(kinds_for(columns))
        print(
            f"{name:16} {kinds:2} kinds: {seconds[0]:6.2f} s ({rate:6.1f} faces/s), "
            f"again {1e3 * seconds[1]:6.1f} ms"
        )
    size = (folder / INDEX_NAME).stat().st_size
    print(f"index with everything: {size / len(table) / 1024:.1f} KiB per face")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faces", type=int, default=200)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--each", type=int, default=40)
    arguments = parser.parse_args()
    found = sorted(arguments.folder.glob("*.jpg"))
    chosen = found[:: max(1, len(found) // arguments.faces)][: arguments.faces]
    with tempfile.TemporaryDirectory(prefix="faceloom-bench-") as name:
        folder = Path(name)
        for path in chosen:
            shutil.copy2(path, folder / path.name)
        each(folder, arguments.each)
        whole(folder, arguments.threads)


if __name__ == "__main__":
    main()
