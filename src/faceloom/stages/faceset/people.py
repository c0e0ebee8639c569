"""The people that a workspace knows: who they are, adding one from pictures, forgetting one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceloom.core import Cancel, InputError, Progress, Settings
from faceloom.core.words import counted
from faceloom.detect import open_finder
from faceloom.identify import (
    Identifier,
    check_name,
    forget_person,
    load_people,
    people_folder,
    save_person,
)
from faceloom.stages.extract.who import find_person
from faceloom.workspace.layout import Workspace


class PeopleAddConfig(Settings):
    """Whom to add, and by which pictures."""

    workspace: Path = Path()
    """The workspace."""
    name: str
    """What the person is called."""
    pictures: Path
    """A picture of the person, or a folder of pictures or faces. Of a picture with several faces
    the largest is meant; faces that are not like the others are left out."""


@dataclass(frozen=True)
class PersonRow:
    """What is told of a person."""

    name: str
    faces: int
    exemplars: int
    threshold: float
    made_from: str


@dataclass(frozen=True)
class PeopleResult:
    """The people, and what was done."""

    folder: Path
    people: tuple[PersonRow, ...]
    done: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "folder": str(self.folder),
            "people": [dataclasses.asdict(row) for row in self.people],
        }

    def lines(self) -> list[str]:
        """For people."""
        lines = [self.done] if self.done else []
        if not self.people:
            return [
                *lines,
                f"{self.folder}: nobody is known; `faceloom cluster --name` names people",
            ]
        for row in self.people:
            faces = counted(row.faces, "face")
            lines.append(f"{row.name}: known by {faces} from {row.made_from or 'somewhere'}")
        return lines


def list_people(workspace: Path) -> PeopleResult:
    """The people of a workspace. Raises `InputError` for no workspace, `FormatError` for a damaged
    file."""
    Workspace.open(workspace)
    return _listed(workspace, "")


def forget(workspace: Path, name: str) -> PeopleResult:
    """Delete what is known of a person. Raises `InputError` when nobody is called so."""
    forget_person(people_folder(workspace), name)
    return _listed(workspace, f"{name} is forgotten")


def run(config: PeopleAddConfig, *, progress: Progress, cancel: Cancel) -> PeopleResult:
    """Know a person by pictures from now on; what was known by that name is replaced.

    Raises `InputError` for a name that cannot be one, pictures that are not there, and no face in
    them; `WeightsError` when a network cannot be had.
    """
    check_name(config.name)
    pictures = config.pictures.expanduser().resolve()
    if not pictures.exists():
        raise InputError(f"{config.pictures}: no such picture or folder")
    cancel.check()
    finder = open_finder(progress=progress)
    identifier = Identifier(progress=progress)
    found = find_person(
        str(pictures), Workspace(config.workspace), finder, identifier, progress, option="people"
    )
    person = dataclasses.replace(found, name=config.name)
    path = save_person(people_folder(config.workspace), person)
    return _listed(config.workspace, f"known from now on: {config.name} ({path})")


def _listed(workspace: Path, done: str) -> PeopleResult:
    folder = people_folder(workspace)
    rows = [
        PersonRow(name, p.count, len(p.exemplars), p.threshold, p.made_from)
        for name, p in load_people(folder).items()
    ]
    return PeopleResult(folder, tuple(rows), done)
