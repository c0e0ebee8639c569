"""Compare a finished result with its dst footage: frames, size, rate, duration, pixels.

    python bench/swap.py WORKSPACE RESULT [--lossless] [--sheet PICTURE]

The result is decoded with PyAV alone. With `--lossless` (a result encoded with FFV1 or lossless
H.264), every pixel whose mask is 0 must equal the footage bit for bit.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from faceloom import Workspace
from faceloom.detect import open_finder
from faceloom.faces import Faceset, read_face
from faceloom.identify import Identifier, mean_embedding, similarity
from faceloom.media import open_footage, read_image


def stamps(path: Path) -> tuple[list[Fraction], tuple[int, int], Fraction]:
    """Time stamps in order, (h, w) and average rate, from the packets alone."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = sorted(
            p.pts * stream.time_base for p in container.demux(stream) if p.pts is not None
        )
        return times, (stream.height, stream.width), Fraction(stream.average_rate or 0)


def compare(workspace: Workspace, result: Path, *, lossless: bool) -> None:
    footage = workspace.footage("dst")
    assert isinstance(footage, Path)
    before, size, rate = stamps(footage)
    after, result_size, result_rate = stamps(result)
    print(f"frames {len(before)} → {len(after)}; size {size} → {result_size}")
    print(f"rate {float(rate):.4f} → {float(result_rate):.4f}")
    starts = [float(t - before[0]) for t in before], [float(t - after[0]) for t in after]
    apart = max(abs(a - b) for a, b in zip(*starts, strict=True))
    print(
        f"span {starts[0][-1]:.4f} s → {starts[1][-1]:.4f} s; largest drift {apart * 1000:.3f} ms"
    )
    outside = changed = untouched = 0
    worst = 0
    with av.open(str(result)) as container:
        decoded = container.decode(container.streams.video[0])
        for source, frame in zip(open_footage(footage).frames(), decoded, strict=True):
            picture = frame.to_ndarray(format="rgb24")
            mask, _ = read_image(workspace.merged_mask / f"{Path(source.name).stem}.png")
            free = mask.max(axis=2) == 0
            delta = np.abs(picture.astype(int) - source.image.astype(int)).max(axis=2)
            outside += int(free.sum())
            changed += int((delta[free] > 0).sum())
            worst = max(worst, int(delta[free].max(initial=0)))
            untouched += int(delta.max() == 0)
    print(f"pixels outside the masks {outside}, changed {changed}, by at most {worst} levels")
    print(f"untouched frames {untouched}")
    if lossless and changed:
        raise SystemExit("a lossless result changed pixels outside the mask")


def sheet(workspace: Workspace, result: Path, picture: Path, moments: int = 6) -> None:
    """dst above the result, in time order from left to right, cropped to the centre."""
    footage = workspace.footage("dst")
    assert isinstance(footage, Path)
    total = len(open_footage(footage))
    wanted = set(np.linspace(0, total - 1, moments).round().astype(int).tolist())
    rows = []
    for path in (footage, result):
        cells = []
        for frame in open_footage(path).frames():
            if frame.index in wanted:
                height, width = frame.image.shape[:2]
                cut = frame.image[:, max(0, (width - height) // 2) : (width + height) // 2]
                cells.append(
                    cv2.resize(
                        cut, (420, round(420 * height / cut.shape[1])), interpolation=cv2.INTER_AREA
                    )
                )
        rows.append(np.hstack(cells))
    cv2.imwrite(str(picture), np.vstack(rows)[..., ::-1])


def likeness(workspace: Workspace, result: Path, every: int = 4) -> None:
    """SFace cosine of the result's faces to the mean of each faceset."""
    identifier, finder = Identifier(), open_finder()
    people = {}
    for side in ("src", "dst"):
        vectors = []
        for path, record in list(Faceset(workspace.aligned(side)))[::every]:
            image, _ = read_face(path)
            vectors.append(identifier.embed(image, record.landmarks))
        people[side] = mean_embedding(vectors)
    cosines = []
    for frame in open_footage(result).frames():
        faces = finder.find(frame.image) if frame.index % every == 0 else []
        if faces:
            vector = identifier.embed(frame.image, faces[0].landmarks)
            cosines.append([similarity(vector, people[side]) for side in ("src", "dst")])
    to_src, to_dst = np.mean(cosines, axis=0)
    nearer = np.mean([src > dst for src, dst in cosines])
    apart = similarity(people["src"], people["dst"])
    print(f"SFace cosine of {len(cosines)} result faces: to src {to_src:.3f}, to dst {to_dst:.3f}")
    print(f"nearer to src {nearer:.0%}; src to dst themselves {apart:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--lossless", action="store_true")
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    workspace = Workspace.open(options.workspace)
    compare(workspace, options.result, lossless=options.lossless)
    likeness(workspace, options.result)
    if options.sheet:
        sheet(workspace, options.result, options.sheet)


if __name__ == "__main__":
    main()
