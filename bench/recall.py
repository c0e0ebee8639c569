"""Faces found on stills and clips against `faces.json`: recall and false finds, a row a file.

    python bench/recall.py MEDIA_DIR [--every 10] [--draw DIR]

`faces.json` counts the faces of each still, and of each frame of the group clips, by eye. A clip
without an entry is taken to show one face, so frames with none or with more are listed for a look.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from faceloom.detect import FaceFinder, FoundFace, open_finder
from faceloom.media import open_footage, write_image

VIDEOS = {".mp4", ".mkv", ".gif", ".avi", ".webm", ".ts"}


def drawn(image: np.ndarray, faces: list[FoundFace]) -> np.ndarray:
    picture = np.ascontiguousarray(image).copy()
    dot = max(1, min(picture.shape[:2]) // 300)
    for face in faces:
        for x, y in np.round(face.landmarks).astype(int):
            top, left = max(y - dot, 0), max(x - dot, 0)
            picture[top : y + dot + 1, left : x + dot + 1] = (0, 255, 0)
    return picture


def still(path: Path, expected: int, finder: FaceFinder, draw: Path | None) -> tuple[int, int]:
    frame = next(iter(open_footage(path).frames()))
    faces = finder.find(frame.image)
    if draw:
        write_image(draw / f"{path.parent.name}_{path.stem}.png", drawn(frame.image, faces))
    missed, false = max(0, expected - len(faces)), max(0, len(faces) - expected)
    print(f"| {path.parent.name}/{path.name} | {expected} | {len(faces)} | {missed} | {false} |")
    return missed, false


def clip(path: Path, expected: int, every: int, finder: FaceFinder, draw: Path | None) -> None:
    found: list[int] = []
    for frame in open_footage(path).frames():
        if frame.index % every:
            continue
        faces = finder.find(frame.image)
        found.append(len(faces))
        if draw and (len(faces) != expected or frame.index == 0):
            write_image(draw / f"{path.stem}_{frame.name}", drawn(frame.image, faces))
    counts = np.array(found)
    missed = int(np.maximum(expected - counts, 0).sum())
    false = int(np.maximum(counts - expected, 0).sum())
    total = expected * len(counts)
    name = f"videos/{path.name} ({len(counts)} frames)"
    print(f"| {name} | {total} | {counts.sum()} | {missed} | {false} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("media", type=Path)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--draw", type=Path)
    options = parser.parse_args()
    if options.draw:
        options.draw.mkdir(parents=True, exist_ok=True)
    truth: dict[str, int] = json.loads((options.media / "faces.json").read_text())
    finder = open_finder()
    print("| file | faces | found | missed | false |\n|---|---|---|---|---|")
    totals = np.zeros(3, dtype=int)
    for name, expected in truth.items():
        path = options.media / name
        if path.suffix.lower() not in VIDEOS:
            missed, false = still(path, expected, finder, options.draw)
            totals += (expected, missed, false)
    print(f"| **stills** | {totals[0]} | | {totals[1]} | {totals[2]} |")
    for path in sorted((options.media / "videos").iterdir()):
        expected = truth.get(f"videos/{path.name}", 1)
        clip(path, expected, options.every, finder, options.draw)


if __name__ == "__main__":
    main()
