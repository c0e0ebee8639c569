"""The people a workspace knows: list them, learn one from pictures, forget one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faceloom.core import Cancel, InputError, Progress
from faceloom.core.result import Result, plain
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
from faceloom.stages.faceset.config import (
    FacesetPeopleAddConfig,
    FacesetPeopleForgetConfig,
    FacesetPeopleListConfig,
)
from faceloom.workspace import Workspace


@dataclass(frozen=True)
class PersonRow:
    """What is shown of a person."""

    name: str
    faces: int
    exemplars: int
    threshold: float
    made_from: str


@dataclass(frozen=True)
class PeopleResult(Result):
    """The people, and what was done."""

    folder: Path
    people: tuple[PersonRow, ...]
    done: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "people": plain(self.people)}

    def lines(self) -> list[str]:
        lines = [self.done] if self.done else []
        if not self.people:
            hint = "`faceloom cluster --name` names people"
            return [*lines, f"no people in {self.folder}; {hint}"]
        for row in self.people:
            faces = counted(row.faces, "face")
            lines.append(f"{row.name}: {faces} from {row.made_from or 'an unknown place'}")
        return lines


def run_list(
    config: FacesetPeopleListConfig, *, progress: Progress, cancel: Cancel
) -> PeopleResult:
    """The people of a workspace. Raises `InputError` if there is no workspace, `FormatError` for a
    damaged file."""
    Workspace.open(config.workspace)
    return _result(config.workspace, "")


def run_add(config: FacesetPeopleAddConfig, *, progress: Progress, cancel: Cancel) -> PeopleResult:
    """Learn a person from pictures; a person of the same name is replaced.

    Raises `InputError` for an unusable name, missing pictures or pictures without a face;
    `WeightsError` if a network cannot be loaded.
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
    person = replace(found, name=config.name)
    path = save_person(people_folder(config.workspace), person)
    return _result(config.workspace, f"learned {config.name}, stored in {path}")


def run_forget(
    config: FacesetPeopleForgetConfig, *, progress: Progress, cancel: Cancel
) -> PeopleResult:
    """Delete what is known about a person. Raises `InputError` for an unknown name."""
    forget_person(people_folder(config.workspace), config.name)
    return _result(config.workspace, f"forgot {config.name}")


def _result(workspace: Path, done: str) -> PeopleResult:
    folder = people_folder(workspace)
    rows = [
        PersonRow(name, p.count, len(p.exemplars), p.threshold, p.made_from)
        for name, p in load_people(folder).items()
    ]
    return PeopleResult(folder, tuple(rows), done)
