"""The persons of a faceset: its faces grouped, and the groups that are known named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import Cancel, InputError, Progress
from faceloom.curate import FaceTable
from faceloom.curate.groups.clusters import Clusters, cluster_faces, face_trust
from faceloom.curate.track_list import TRACK_COLUMNS, list_tracks
from faceloom.faces import FaceRecord
from faceloom.geometry import ARCFACE_POINTS, five_points
from faceloom.identify import Person, blankness

COLUMNS: Final = ("embedding", *TRACK_COLUMNS)
"""The measures that grouping needs."""
UNSURE: Final = "unsure"
"""What the faces are called of which nobody can say whose they are."""
ARCFACE_PX: Final = 112


@dataclass(frozen=True, eq=False)
class Group:
    """One person's faces, as far as can be told."""

    number: int | None
    """From 0, the largest first; None for the faces that are `unsure`."""
    name: str | None
    """The person's, where the workspace knows them."""
    rows: NDArray[np.intp]
    """Its faces in the table, from the most typical to the least."""
    distances: NDArray[np.float32]
    """1 - cosine with the group's mean, of each of `rows`; NaN when `unsure`."""
    tracks: int
    """In how many tracks they are."""

    @property
    def label(self) -> str:
        """What it is called in a list and in a folder's name."""
        if self.number is None:
            return UNSURE
        return f"group_{self.number}" if self.name is None else self.name


@dataclass(frozen=True, eq=False)
class Grouped:
    """All faces of a table in groups, the largest first, `unsure` last where there are any."""

    clusters: Clusters
    groups: tuple[Group, ...]


def group_faces(
    table: FaceTable,
    people: Mapping[str, Person],
    *,
    threshold: float,
    progress: Progress,
    cancel: Cancel,
) -> Grouped:
    """Group the faces of a table with `COLUMNS`, and name the groups that match one of `people`.

    Raises `CancelledError`.
    """
    embeddings = np.asarray(table.column("embedding"), dtype=np.float32).reshape(-1, 128)
    trust = face_trust(
        blankness=blankness(embeddings),
        face_px=face_sizes_px(table.records),
        sharpness=table.column("sharpness"),
    )
    tracks = _tracks(table)
    clusters = cluster_faces(
        embeddings,
        trust=trust,
        tracks=tracks,
        threshold=threshold,
        progress=progress,
        cancel=cancel,
    )
    names = [known_as(people, centre) for centre in clusters.centres]
    groups = [_group(number, name, clusters, tracks) for number, name in enumerate(names)]
    unsure = np.flatnonzero(clusters.labels < 0)
    if len(unsure):
        groups.append(Group(None, None, unsure, clusters.distances[unsure], _count(tracks[unsure])))
    return Grouped(clusters, tuple(groups))


def known_as(people: Mapping[str, Person], vector: NDArray[np.float32]) -> str | None:
    """The name of the person whom a group's mean matches best; None when nobody."""
    beyond = {name: person.similarity(vector) - person.threshold for name, person in people.items()}
    best = max(beyond, key=lambda name: beyond[name], default=None)
    return best if best is not None and beyond[best] >= 0 else None


def _group(number: int, name: str | None, clusters: Clusters, tracks: NDArray[np.intp]) -> Group:
    rows = np.flatnonzero(clusters.labels == number)
    rows = rows[np.argsort(clusters.distances[rows], kind="stable")]
    return Group(number, name, rows, clusters.distances[rows], _count(tracks[rows]))


def _count(tracks: NDArray[np.intp]) -> int:
    return len(np.unique(tracks[tracks >= 0]))


def _tracks(table: FaceTable) -> NDArray[np.intp]:
    """n: the number of each face's track, other for every source; -1 without one."""
    tracks = np.full(len(table), -1, dtype=np.intp)
    for number, track in enumerate(list_tracks(table)):
        if track.number is not None:
            tracks[track.rows] = number
    return tracks


def face_sizes_px(records: Sequence[FaceRecord]) -> NDArray[np.float64]:
    """How large each face is in its frame: the side in pixels of the square SFace would cut out."""
    template = np.asarray(ARCFACE_POINTS, dtype=np.float64)
    spread = float(np.linalg.norm(template - template.mean(axis=0)))
    if not records:
        return np.zeros(0)
    points = np.stack([five_points(record.source_landmarks) for record in records])
    own = np.linalg.norm(points - points.mean(axis=1, keepdims=True), axis=(1, 2))
    return np.asarray(ARCFACE_PX * own / spread, dtype=np.float64)


def chosen_groups(groups: Sequence[Group], words: Sequence[str]) -> list[Group]:
    """The groups that numbers, names or `unsure` name. `InputError` for a word that names none.

    Beside others `unsure` may name none: there are not always such faces.
    """
    chosen: list[Group] = []
    for word in words:
        found = [
            group
            for group in groups
            if word in (group.name, UNSURE if group.number is None else str(group.number))
        ]
        if not found and not (word == UNSURE and len(words) > 1):
            known = [str(group.number) for group in groups[:20] if group.number is not None]
            known += sorted({group.name for group in groups if group.name is not None})
            raise InputError(f"no group {word!r} there; known: {', '.join(known) or 'none'}")
        chosen += [group for group in found if group not in chosen]
    return chosen
