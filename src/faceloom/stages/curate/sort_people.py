"""Whom a sort looks for: the person of `--reference`, and the named people of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from faceloom.core import Progress
from faceloom.curate import FaceTable
from faceloom.curate.orders.order import SortKey
from faceloom.curate.orders.ordering import Grouping
from faceloom.detect import open_finder
from faceloom.identify import Identifier, Person, load_people, people_folder
from faceloom.stages.extract.who import find_person
from faceloom.workspace.layout import Workspace


def likeness_to(reference: str | None, workspace: Path, progress: Progress) -> Person | None:
    """The person that `reference` names or shows; None when there is no reference.

    Raises `InputError` when nobody is known by that name and there is no such picture, or no face
    in it; `WeightsError` when a network cannot be had.
    """
    if reference is None:
        return None
    people = load_people(people_folder(workspace))
    if reference in people:
        return people[reference]
    return find_person(
        reference,
        Workspace(workspace),
        open_finder(progress=progress),
        Identifier(progress=progress),
        progress,
        option="--reference",
    )


def people_groups(
    table: FaceTable, workspace: Path, keys: Sequence[SortKey]
) -> dict[str, Grouping]:
    """Who of the workspace's people each face shows, where a key asks for it."""
    if all(key.method.name != "person" for key in keys):
        return {}
    people = load_people(people_folder(workspace))
    if not people:
        return {}
    names = sorted(people)
    embeddings = table.column("embedding")
    alike = np.stack([people[name].similarities(embeddings) for name in names], axis=1)
    thresholds = np.array([people[name].threshold for name in names], np.float32)
    margins = np.nan_to_num(alike - thresholds, nan=-9.0)
    best = margins.argmax(1)
    labels = np.where(margins.max(1, initial=-9.0) >= 0, best, -1).astype(np.int64)
    return {"person": Grouping(labels, lambda k: names[k] if k >= 0 else "nobody known")}
