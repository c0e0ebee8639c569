"""Scores of the demo: similarity of the result to both people, and landmark error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, FaceloomError, Progress
from faceloom.core.vocabulary import Side
from faceloom.detect import FaceFinder, open_finder
from faceloom.faces import Faceset
from faceloom.identify import Identifier, mean_embedding, similarity
from faceloom.media import open_footage
from faceloom.stages.demo.clips import clip_path, read_truth
from faceloom.workspace.layout import Workspace

# Frames of each clip whose identity is measured, evenly spaced.
FACES_MEASURED = 50


@dataclass(frozen=True)
class Likeness:
    """Cosines of SFace embeddings, -1 to 1; above 0.36 two faces count as the same person."""

    to_src: float
    """Faces of the result, on average, to the mean of the src faces."""
    to_dst: float
    """The same for dst."""
    src_to_dst: float
    """The two people to each other."""
    nearer_src: float
    """Share of the faces of the result that are closer to src than to dst."""
    faces: int


@dataclass(frozen=True)
class LandmarkError:
    """Distance of extracted landmarks from the true ones, in percent of the face's size.

    The error of a frame is the mean distance of its 68 points, divided by the square root of the
    area of the true bounding box (the normalisation of the AFLW benchmarks).
    """

    mean_percent: float
    p95_percent: float
    frames: int
    """Frames compared."""
    missed: int
    """Frames without a detected face."""


def likeness(workspace: Workspace, result: Path, *, progress: Progress, cancel: Cancel) -> Likeness:
    """Compare the faces of `result` with those of both clips.

    Raises `FaceloomError` if one of the three has no face.
    """
    identifier, finder = Identifier(progress=progress), open_finder(progress=progress)
    clips = {
        "src": clip_path(workspace.folder, "src"),
        "dst": clip_path(workspace.folder, "dst"),
        "result": result,
    }
    progress.start("compare faces", len(clips) * FACES_MEASURED, "faces")
    found = {
        name: _embeddings(path, identifier, finder, progress, cancel)
        for name, path in clips.items()
    }
    progress.finish()
    src, dst = mean_embedding(found["src"]), mean_embedding(found["dst"])
    to_src = np.array([similarity(face, src) for face in found["result"]])
    to_dst = np.array([similarity(face, dst) for face in found["result"]])
    return Likeness(
        to_src=float(to_src.mean()),
        to_dst=float(to_dst.mean()),
        src_to_dst=similarity(src, dst),
        nearer_src=float((to_src > to_dst).mean()),
        faces=len(to_src),
    )


def landmark_error(workspace: Workspace, side: Side) -> LandmarkError:
    """Compare the faceset of a side with the true landmarks of its clip."""
    truth = read_truth(workspace.folder, side)
    found: dict[int, list[NDArray[np.float32]]] = {}
    for _, record in Faceset(workspace.aligned(side)):
        if record.own is not None and record.own.frame_index is not None:
            found.setdefault(record.own.frame_index, []).append(record.source_landmarks)
    return compare_landmarks(truth, found)


def compare_landmarks(
    truth: NDArray[np.float32], found: Mapping[int, Sequence[NDArray[np.float32]]]
) -> LandmarkError:
    """`truth` is `n 68 2`, `found` the faces by frame index, of which the closest one counts."""
    sizes = np.sqrt(np.prod(np.ptp(truth, axis=1), axis=1))
    errors = [
        min(float(np.linalg.norm(face - truth[index], axis=1).mean()) for face in faces)
        / float(sizes[index])
        for index, faces in sorted(found.items())
        if index < len(truth) and faces
    ]
    percent = 100 * np.array(errors or [np.nan])
    return LandmarkError(
        mean_percent=float(percent.mean()),
        p95_percent=float(np.quantile(percent, 0.95)),
        frames=len(errors),
        missed=len(truth) - len(errors),
    )


def _embeddings(
    path: Path, identifier: Identifier, finder: FaceFinder, progress: Progress, cancel: Cancel
) -> list[NDArray[np.float32]]:
    """One embedding per measured frame, of its largest face."""
    footage = open_footage(path)
    wanted = np.linspace(0, len(footage) - 1, FACES_MEASURED).round().astype(int).tolist()
    embeddings: list[NDArray[np.float32]] = []
    for frame in footage.frames():
        cancel.check()
        times = wanted.count(frame.index)
        if not times:
            continue
        image = np.asarray(frame.image, np.uint8)
        faces = finder.find(image)
        if faces:
            embeddings.append(identifier.embed(image, faces[0].landmarks))
        progress.advance(times)
    if not embeddings:
        raise FaceloomError(f"{path}: no face found to compare")
    return embeddings
