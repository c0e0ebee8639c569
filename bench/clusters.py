"""Compare groups by person with the truth: purity, missed faces, pairs, seconds.

    python bench/clusters.py FACES [--threshold 0.45] [--hard 12] [--sheet groups.png]
    python bench/clusters.py FACES --blank

FACES is a folder of faces extracted from the shared clips and photos, copied together under names
`<clip>_<w|f>_<frame>_<k>.jpg` and `photo_<w|f>_<photo>_<k>.jpg` (w whole_face, f full_face). The
true identities were labelled by eye; they are below. `--hard N` shrinks every tenth face to N
pixels (SFace sees 112) before computing its vector. `--blank` recomputes the vector of blurred
faces that is stored in `faceloom/identify/blank.py`, and prints it.
"""

from __future__ import annotations

import argparse
import base64
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from faceloom.core import Cancel, NullProgress
from faceloom.curate import FaceTable
from faceloom.faces import FaceRecord, read_face
from faceloom.identify import Identifier, align_face, blank_direction
from faceloom.settings.curate import SAME_GROUP
from faceloom.stages.curate.cluster import (
    COLUMNS,
    Grouped,
    group_faces,
    write_groups_sheet,
)
from faceloom.stages.measure import measure_faces

# Clip → its person, or the person of each track (0, 1, …, as numbered by an extraction of 2026-11).
CLIPS: dict[str, str | tuple[str, ...]] = {
    "foreman_cif": "foreman",
    "four_people_call_grid": ("kitchen", "terrace", "turning", "webcam"),
    "man_kitchen_talking_portrait": "kitchen",
    "man_sofa_gesturing_portrait": "sofa",
    "man_webcam_turning": "turning",
    "sign_man_hand_at_mouth": "sign-man",
    "sign_man_hand_on_lips": "sign-man-2",
    "sign_woman_hand_to_forehead": "sign-woman",
    "sign_woman_hands_before_chin": "sign-woman",
    "three_people_corridor": ("corridor-woman", "corridor-man", "grey-woman"),
    "two_people_heads_tilted": ("tilted-man", "grey-woman"),
    "woman_terrace_talking_portrait": ("terrace", "no face: a hand"),
    "woman_thumb_over_face": "thumb",
    "woman_turning_to_profile": "grey-woman",
    "woman_webcam_reading": "webcam",
}
# Photos of a person with several pictures; every other photo shows a different person.
PHOTOS = {
    "man_green_shirt_turned_0": "turning",
    "man_white_bald_48_0": "bald",
    "man_white_bald_48_smiling_0": "bald",
    "woman_east_asian_28_0": "woman-28",
    "woman_east_asian_28_smiling_0": "woman-28",
    "woman_dim_close_0": "lisa",
    "woman_dim_tilted_0": "lisa",
    "woman_wide_angle_15cm_0": "lisa",
    "woman_wide_angle_60cm_0": "lisa",
}


def person(name: str, record: FaceRecord) -> str:
    """The true identity of a file."""
    stem = Path(name).stem
    photo = re.fullmatch(r"photo_[wf]_(.*)", stem)
    if photo:
        return PHOTOS.get(photo[1], photo[1])
    clip = re.fullmatch(r"(.*)_[wf]_\d+_\d+", stem)
    if clip is None or clip[1] not in CLIPS:
        raise SystemExit(f"{name}: whose face this is is not known")
    who = CLIPS[clip[1]]
    track = None if record.own is None else record.own.track
    return who if isinstance(who, str) else who[track or 0]


def shrunk(face: np.ndarray, side: int) -> np.ndarray:
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (112, 112), interpolation=cv2.INTER_CUBIC)


def with_hard(table: FaceTable, side: int) -> tuple[FaceTable, np.ndarray]:
    """The table with every tenth vector computed from a shrunk picture, and the rows of those."""
    identifier = Identifier()
    vectors = np.array(table.column("embedding"))
    rows = np.arange(0, len(table), 10)
    for row in rows:
        image, record = read_face(table.paths[row])
        vectors[row] = identifier.embed_aligned(shrunk(align_face(image, record.landmarks), side))
    return replace(table, columns={**table.columns, "embedding": vectors}), rows


def report(what: str, grouped: Grouped, truth: np.ndarray, seconds: float) -> None:
    labels = grouped.clusters.labels
    pairs = Counter(zip(labels[labels >= 0].tolist(), truth[labels >= 0].tolist(), strict=True))
    best: dict[int, int] = {}
    main: dict[str, int] = {}
    for (label, who), count in pairs.items():
        best[label] = max(best.get(label, 0), count)
        main[who] = max(main.get(who, 0), count)
    sure = int((labels >= 0).sum())
    both = sum(count * (count - 1) // 2 for count in pairs.values())
    grouped_pairs = sum(c * (c - 1) // 2 for c in Counter(labels[labels >= 0].tolist()).values())
    true_pairs = sum(c * (c - 1) // 2 for c in Counter(truth.tolist()).values())
    print(
        f"{what}: {len(truth)} faces of {len(set(truth.tolist()))} persons in {len(best)} groups, "
        f"{len(truth) - sure} unsure; purity {sum(best.values()) / max(sure, 1):.4f}, "
        f"missed {len(truth) - sum(main.values())}, pairs: precision "
        f"{both / max(grouped_pairs, 1):.4f} recall {both / max(true_pairs, 1):.4f}; "
        f"{seconds:.2f} s"
    )


def group(table: FaceTable, threshold: float) -> tuple[Grouped, float]:
    start = time.perf_counter()
    found = group_faces(table, {}, threshold=threshold, progress=NullProgress(), cancel=Cancel())
    return found, time.perf_counter() - start


def without_tracks(table: FaceTable) -> FaceTable:
    records = tuple(
        record if record.own is None else replace(record, own=replace(record.own, track=None))
        for record in table.records
    )
    return replace(table, records=records)


def make_blank(paths: list[Path]) -> None:
    """The mean vector of faces shrunk to 8 pixels and blurred by 6, of every tenth face and every
    photo."""
    identifier = Identifier()
    chosen = [path for path in paths if path.name.startswith("photo_w")] + paths[::10]
    total = np.zeros(128)
    for path in chosen:
        image, record = read_face(path)
        face = align_face(image, record.landmarks)
        for picture in (shrunk(face, 8), cv2.GaussianBlur(face, (0, 0), 6.0)):
            total += identifier.embed_aligned(np.asarray(picture, np.uint8))
    vector = (total / np.linalg.norm(total)).astype(np.float32)
    print(base64.b64encode(vector.astype("<f2").tobytes()).decode())
    print(f"cosine with the one in use: {float(vector @ blank_direction()):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--threshold", type=float, default=SAME_GROUP)
    parser.add_argument("--hard", type=int)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--blank", action="store_true")
    options = parser.parse_args()
    if options.blank:
        make_blank(sorted(options.faces.glob("*.jpg")))
        return
    start = time.perf_counter()
    table = measure_faces(options.faces, COLUMNS, progress=NullProgress(), cancel=Cancel())
    print(f"measured or read from the index: {time.perf_counter() - start:.1f} s")
    truth = np.array([person(p.name, r) for p, r in zip(table.paths, table.records, strict=True)])
    if options.hard:
        table, rows = with_hard(table, options.hard)
        print(f"{len(rows)} faces shrunk to {options.hard} pixels")
    for what, one in (("without tracks", without_tracks(table)), ("with tracks", table)):
        found, seconds = group(one, options.threshold)
        report(what, found, truth, seconds)
    if options.sheet is not None:
        write_groups_sheet(
            options.sheet, table, found.groups, title=str(options.faces), cancel=Cancel()
        )


if __name__ == "__main__":
    main()
