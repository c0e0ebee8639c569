"""Finding a person by name, by a picture, or by a folder of pictures (`--who`)."""

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
from faceloom.stages.extract.reidentify import Vector, Wanted
from faceloom.workspace.layout import Workspace

_MOST_PICTURES = 48


def wants(person: Person) -> Wanted:
    """A test of whether faces are those of `person`."""

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
    """The person called `who` in the workspace, or shown by the picture or folder of that path.

    The largest face of a picture counts. Raises `InputError`, which mentions the `option`, when
    there is no such person or picture, or no face in it.
    """
    people = load_people(people_folder(workspace.folder))
    if who in people:
        return people[who]
    path = Path(who).expanduser()
    if not path.exists():
        known = f"known people: {', '.join(people)}" if people else "no people have been named yet"
        raise InputError(f"{option} {who}: no such person, picture or folder; {known}")
    pictures = list_images(path) if path.is_dir() else [path]
    pack = folder_pack(path) if not pictures else None
    if pack is not None:
        raise InputError(
            f"{option} {who}: this faceset is packed ({pack.name}); unpack it with `faceloom "
            "faceset unpack`, or give a picture"
        )
    step = max(1, -(-len(pictures) // _MOST_PICTURES))
    vectors: list[Vector] = []
    for picture in pictures[::step]:
        vector = _identity(picture, finder, identifier)
        if vector is not None:
            vectors.append(vector)
        elif path.is_dir():
            progress.note(f"{picture}: no face found, ignored for {option} {who}")
    if not vectors:
        raise InputError(f"{option} {who}: no face found in it")
    return person_from_embeddings("who", np.stack(vectors), made_from=who)


def _identity(picture: Path, finder: FaceFinder, identifier: Identifier) -> Vector | None:
    """The identity vector of a picture's largest face, by its stored landmarks if it has any."""
    image = np.asarray(read_image(picture)[0], dtype=np.uint8)
    try:
        return identifier.embed(image, read_record(picture).landmarks)
    except FaceloomError:
        faces = finder.find(image)
    return identifier.embed(image, faces[0].landmarks) if faces else None
