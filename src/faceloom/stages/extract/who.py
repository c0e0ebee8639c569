"""The one person whose faces an extraction keeps: by a name, a picture, a folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from faceloom.core import FaceloomError, InputError, Progress
from faceloom.core.paths import list_images
from faceloom.detect import FaceFinder
from faceloom.faces import read_record
from faceloom.faces.archives.pack import folder_pack
from faceloom.identify import Identifier, Person, load_people, people_folder, person_from_embeddings
from faceloom.media import read_image
from faceloom.stages.extract.tracks import Vector, Wanted
from faceloom.workspace.layout import Workspace

_MOST_PICTURES = 48


def wanted_person(
    who: str,
    workspace: Workspace,
    finder: FaceFinder,
    identifier: Identifier,
    progress: Progress,
) -> Wanted:
    """Whether faces are those of `who`: a name among the workspace's people, or else a path.

    Of a picture with several faces the largest one is meant. Raises `InputError` when nobody is
    known by that name and there is no such picture, or no face in it.
    """
    person = find_person(who, workspace, finder, identifier, progress)

    def wanted(vectors: Sequence[Vector]) -> bool:
        if not vectors:
            return False
        return float(person.similarities(np.stack(vectors)).mean()) >= person.threshold

    return wanted


def find_person(
    who: str,
    workspace: Workspace,
    finder: FaceFinder,
    identifier: Identifier,
    progress: Progress,
    *,
    option: str = "--who",
) -> Person:
    """The person called `who`, or shown by the picture or folder of that path.

    Raises `InputError` naming the `option` when there is none, or no face there.
    """
    people = load_people(people_folder(workspace.folder))
    if who in people:
        return people[who]
    path = Path(who).expanduser()
    if not path.exists():
        known = f"known: {', '.join(people)}" if people else "nobody has been named yet"
        raise InputError(f"{option} {who}: no picture or folder, and no such person; {known}")
    pictures = list_images(path) if path.is_dir() else [path]
    pack = folder_pack(path) if not pictures else None
    if pack is not None:
        raise InputError(
            f"{option} {who}: packed ({pack.name}); `faceloom faceset unpack` it first, or name "
            "a picture"
        )
    step = max(1, -(-len(pictures) // _MOST_PICTURES))
    vectors: list[Vector] = []
    for picture in pictures[::step]:
        vector = _identity(picture, finder, identifier)
        if vector is not None:
            vectors.append(vector)
        elif path.is_dir():
            progress.note(f"{picture}: no face found; not used to know {who} by")
    if not vectors:
        raise InputError(f"{option} {who}: no face found there to know the person by")
    return person_from_embeddings("who", np.stack(vectors), made_from=who)


def _identity(picture: Path, finder: FaceFinder, identifier: Identifier) -> Vector | None:
    """The identity of a picture's largest face; of a face of a faceset, by its own points."""
    image = np.asarray(read_image(picture)[0], dtype=np.uint8)
    try:
        return identifier.embed(image, read_record(picture).landmarks)
    except FaceloomError:
        faces = finder.find(image)
    return identifier.embed(image, faces[0].landmarks) if faces else None
