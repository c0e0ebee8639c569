"""Compare faces found on stills and clips with the truth: recall and false finds per file.

    python bench/recall.py MEDIA_DIR [--detector NAME]… [--turns auto|off] [--no-tracking]
                           [--every 20] [--only TEXT] [--draw DIR]

`faces.json` has the number of faces, counted by eye, for each still and each frame of the group
clips; a clip without an entry shows one face, except for `EXCEPTIONS`. With tracking, every frame
of a clip is searched as in extraction, and every nth is counted; without it, only every nth frame
is searched, on its own. Counts cannot distinguish a false find from one that makes up for a miss
in the same frame; use `--draw` and look.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceloom.detect import FaceFinder, FoundFace, SceneCuts, Tracker, Turns, open_finder
from faceloom.media import Frame, open_footage, write_image

VIDEOS = {".mp4", ".mkv", ".gif", ".avi", ".webm", ".ts"}


def foreman(index: int) -> range:
    """The camera pans away from the man: half of his face is cut off at 185, all of it at 190."""
    return range(1, 2) if index < 185 else range(2) if index < 190 else range(1)


# Clip → correct numbers of faces in a frame.
EXCEPTIONS: Mapping[str, Callable[[int], range]] = {
    "foreman_cif.mp4": foreman,
    # The right edge cuts off a second person's face: finding it or not are both correct.
    "sign_man_hand_at_mouth.mkv": lambda _: range(1, 3),
}


@dataclass
class Sums:
    """Counts of one file, or of several."""

    faces: int = 0
    found: int = 0
    missed: int = 0
    false: int = 0
    seconds: float = 0.0
    looks: int = 0

    def count(self, right: range, found: int) -> None:
        self.faces += min(max(found, right.start), right.stop - 1)
        self.found += found
        self.missed += max(0, right.start - found)
        self.false += max(0, found - (right.stop - 1))

    def add(self, other: Sums) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def row(self, title: str) -> str:
        cells = [self.faces, self.found, self.missed, self.false]
        speed = f"{1000 * self.seconds / max(1, self.looks):.0f}"
        return f"| {title} | {' | '.join(map(str, cells))} | {speed} |"


def drawn(image: np.ndarray, faces: list[FoundFace]) -> np.ndarray:
    picture = np.ascontiguousarray(image).copy()
    dot = max(1, min(picture.shape[:2]) // 300)
    for face in faces:
        for x, y in np.round(face.landmarks).astype(int):
            top, left = max(y - dot, 0), max(x - dot, 0)
            picture[top : max(0, y + dot + 1), left : max(0, x + dot + 1)] = (0, 255, 0)
        left, top, right, bottom = (max(0, round(side)) for side in face.rect)
        picture[top : bottom + 1, [left, min(right, picture.shape[1] - 1)]] = (255, 0, 0)
        picture[[top, min(bottom, picture.shape[0] - 1)], left : right + 1] = (255, 0, 0)
    return picture


def looked_at(
    path: Path, finder: FaceFinder, every: int, tracking: bool, sums: Sums
) -> Iterator[tuple[Frame, list[FoundFace]]]:
    """Every nth frame with its faces, found with or without tracking over the frames between."""
    footage = open_footage(path)
    tracker, cuts = Tracker(), SceneCuts()
    for frame in footage.frames():
        if frame.index % every and not tracking:
            continue
        start = time.perf_counter()
        if tracking and cuts.update(frame.image):
            tracker.cut()
        seeds = tracker.seeds() if tracking else []
        faces = finder.find(frame.image, seeds, pixel_aspect=footage.info.pixel_aspect)
        if tracking:
            tracker.update(frame.time, faces)
        sums.seconds += time.perf_counter() - start
        sums.looks += 1
        if frame.index % every == 0:
            yield frame, faces


def measure(
    path: Path,
    right: Callable[[int], range],
    finder: FaceFinder,
    options: argparse.Namespace,
    label: str,
) -> Sums:
    sums = Sums()
    clip = path.suffix.lower() in VIDEOS
    tracking = clip and options.tracking
    for frame, faces in looked_at(path, finder, options.every if clip else 1, tracking, sums):
        allowed = right(frame.index)
        sums.count(allowed, len(faces))
        if options.draw and (not clip or len(faces) not in allowed or frame.index == 0):
            name = f"{label}_{path.parent.name}_{path.stem}_{frame.index:04}.png"
            write_image(options.draw / name, drawn(frame.image, faces))
    return sums


def files(media: Path, only: str) -> list[tuple[Path, Callable[[int], range]]]:
    """Stills and clips with the correct counts."""
    truth: dict[str, int] = json.loads((media / "faces.json").read_text())
    names = [name for name in truth if Path(name).suffix.lower() not in VIDEOS]
    names += [f"videos/{path.name}" for path in sorted((media / "videos").iterdir())]

    def exactly(count: int) -> Callable[[int], range]:
        return lambda _: range(count, count + 1)

    return [
        (media / name, EXCEPTIONS.get(Path(name).name) or exactly(truth.get(name, 1)))
        for name in names
        if only in name
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("media", type=Path)
    parser.add_argument("--detector", action="append", help="repeatable; a,b combines two")
    parser.add_argument("--landmarker", default="mesh-478")
    parser.add_argument("--turns", choices=["auto", "off"], default="auto")
    parser.add_argument("--no-tracking", dest="tracking", action="store_false")
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--only", default="", help="only files whose name contains this")
    parser.add_argument("--draw", type=Path)
    options = parser.parse_args()
    if options.draw:
        options.draw.mkdir(parents=True, exist_ok=True)
    turns: Turns = "auto" if options.turns == "auto" else (0,)
    for name in options.detector or ["yunet"]:
        finder = open_finder(name, options.landmarker, turns=turns)
        print(
            f"\n## {name}, turns {options.turns}, tracking {'on' if options.tracking else 'off'}\n"
        )
        print("| file | faces | found | missed | false | ms |\n|---|---|---|---|---|---|")
        total = {"stills": Sums(), "clips": Sums()}
        for path, right in files(options.media, options.only):
            sums = measure(path, right, finder, options, name)
            total["clips" if path.suffix.lower() in VIDEOS else "stills"].add(sums)
            print(sums.row(f"{path.parent.name}/{path.name}"), flush=True)
        for kind, sums in total.items():
            print(sums.row(f"**{kind}**"))


if __name__ == "__main__":
    main()
