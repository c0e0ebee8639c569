"""Count duplicates per strength, time the search, and check that copies are found.

    python bench/duplicates.py FACES [--sheets DIR] [--copies 50]
    python bench/duplicates.py --made 100000

FACES is any folder of faces, ideally of a whole clip. `--sheets` writes the pairs (kept, dropped)
that each strength finds and the one below it does not: look at them before changing a limit.
`--copies` re-encodes faces (JPEG quality 75, 50, 30; half the size) and reports how many are found
as duplicates of their originals at strength 0, and how many other faces match at that strength.
`--made` uses synthetic faces whose poses wander like those of a moving head.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from faceloom.core import Cancel, NullProgress
from faceloom.curate import FaceTable
from faceloom.curate.groups import STRENGTHS, FaceTraits, find_duplicates
from faceloom.faces import encode_face, read_face
from faceloom.stages.curate.dedupe import COLUMNS, duplicates_of, write_pairs_sheet
from faceloom.stages.measure import measure_faces

SHOWN = 50


def measure(folder: Path) -> FaceTable:
    return measure_faces(folder, COLUMNS, progress=NullProgress(), cancel=Cancel())


def dropped(table: FaceTable, strength: int) -> tuple[list[tuple[int, int]], float]:
    """(kept, dropped) pairs, and seconds."""
    start = time.perf_counter()
    found = duplicates_of(table, strength, progress=NullProgress(), cancel=Cancel())
    seconds = time.perf_counter() - start
    return [(int(found.kept_for[row]), int(row)) for row in found.dropped], seconds


def real(folder: Path, sheets: Path | None) -> None:
    start = time.perf_counter()
    table = measure(folder)
    print(
        f"{len(table)} faces; measured, or read from the index: {time.perf_counter() - start:.1f} s"
    )
    before: set[int] = set()
    for strength in range(len(STRENGTHS)):
        pairs, seconds = dropped(table, strength)
        print(
            f"strength {strength}: {len(pairs)} dropped, {len(table) - len(pairs)} stay, "
            f"{seconds:.2f} s"
        )
        new = [pair for pair in pairs if pair[1] not in before]
        before = {row for _, row in pairs}
        if sheets is not None and new:
            chosen = [
                new[i] for i in np.linspace(0, len(new) - 1, min(SHOWN, len(new))).astype(int)
            ]
            write_pairs_sheet(
                sheets / f"strength_{strength}.png",
                table,
                chosen,
                title=f"new at strength {strength}: {len(new)}",
                cancel=Cancel(),
            )


def copies(folder: Path, count: int) -> None:
    """Report whether re-encoded copies of faces are found at strength 0."""
    paths = sorted(folder.glob("*.jpg"))
    paths = [paths[i] for i in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]
    for how in ("75", "50", "30", "half"):
        with tempfile.TemporaryDirectory() as scratch:
            for number, path in enumerate(paths):
                image, record = read_face(path)
                (Path(scratch) / f"{number:04d}_a.jpg").write_bytes(path.read_bytes())
                if how == "half":
                    image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                    matrix = record.image_to_face_mat
                    scaled = None if matrix is None else matrix * 0.5 - [[0, 0, 0.25]]
                    points = (record.landmarks + 0.5) / 2 - 0.5
                    record = replace(record, landmarks=points, image_to_face_mat=scaled)
                data = encode_face(
                    np.asarray(image, np.uint8), record, ".jpg", 90 if how == "half" else int(how)
                )
                (Path(scratch) / f"{number:04d}_b.jpg").write_bytes(data)
            table = measure(Path(scratch))
            pairs, _ = dropped(table, 0)
            right = sum(table.paths[a].name[:4] == table.paths[b].name[:4] for a, b in pairs)
            what = "half the size" if how == "half" else f"quality {how}"
            print(
                f"{what}: {right} of {len(paths)} copies found at strength 0, "
                f"{len(pairs) - right} others dropped"
            )


def made(n: int) -> None:
    rng = np.random.default_rng(0)
    angles = np.cumsum(rng.normal(size=(n, 3)), axis=0)
    angles = 35 * np.sin(angles / 35)
    bits = np.cumsum(rng.random((n, 64)) < 0.02, axis=0) % 2
    vectors = rng.normal(size=128) + 0.3 * rng.normal(size=(n, 128))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shapes = 0.5 + 0.5 * np.sin(np.cumsum(rng.normal(size=(n, 52)) * 0.02, axis=0))
    traits = FaceTraits(
        np.packbits(bits, axis=1), vectors.astype(np.float32), angles, shapes.astype(np.float32)
    )
    for strength in range(len(STRENGTHS)):
        start = time.perf_counter()
        count = len(find_duplicates(traits, strength).dropped)
        print(f"strength {strength}: {count} of {n} dropped, {time.perf_counter() - start:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path, nargs="?")
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--copies", type=int, default=0)
    parser.add_argument("--made", type=int, default=0)
    options = parser.parse_args()
    if options.made:
        made(options.made)
    if options.faces is not None:
        real(options.faces, options.sheets)
        if options.copies:
            copies(options.faces, options.copies)


if __name__ == "__main__":
    main()
