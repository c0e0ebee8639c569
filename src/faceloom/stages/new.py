"""Make a workspace: its layout, its footage, and the record of whose faces and on what ground."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceloom.core.config import Settings
from faceloom.core.errors import InputError
from faceloom.core.events import Cancel, Progress
from faceloom.core.paths import atomic_path
from faceloom.core.vocabulary import SIDES, Side
from faceloom.media import open_footage
from faceloom.provenance import (
    Ground,
    RightsRecord,
    Statement,
    append_ledger,
    describe_footage,
    file_sha256,
    make_record,
    write_rights,
)
from faceloom.workspace.layout import (
    Workspace,
    create_workspace,
    footage_in,
    media_files,
    set_footage,
)


class NewConfig(Settings):
    """A new workspace, or the rights record of one that is there."""

    workspace: Path
    """The folder to make, or an existing workspace (DFL's too) that lacks a rights record."""
    src: Path | None = None
    """Video, photo or folder of either: whose face is taken. Not needed when already there."""
    dst: Path | None = None
    """Video, photo or folder of either: the footage that the face is put on."""
    src_rights: Ground
    """On what ground the face of src may be used."""
    dst_rights: Ground
    """On what ground the likeness in dst may be used."""
    src_name: str = ""
    """Who src is, when that should be on record."""
    dst_name: str = ""
    """Who dst is, when that should be on record."""
    note: str = ""
    """Where the consent or licence lies."""
    stated_by: str = ""
    """Who answers for this statement."""
    copy_footage: bool = False
    """Copy the footage into the workspace, not only refer to it."""


@dataclass(frozen=True)
class NewResult:
    """The workspace, its footage and its rights record."""

    workspace: Path
    src: list[Path]
    dst: list[Path]
    record: RightsRecord
    rights_digest: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "workspace": self.workspace,
            "src": self.src,
            "dst": self.dst,
            "rights_digest": self.rights_digest,
            "rights": self.record.model_dump(mode="json"),
        }

    def lines(self) -> list[str]:
        """The result for people."""
        lines = [f"workspace: {self.workspace}"]
        sides = (("src", self.src, self.record.src), ("dst", self.dst, self.record.dst))
        for side, paths, statement in sides:
            shown = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files in {paths[0].parent}"
            who = f" ({statement.subject})" if statement.subject else ""
            lines.append(f"{side}{who}: {shown}, ground: {statement.ground}")
        lines.append(f"rights record: {self.workspace / 'rights.json'}")
        lines.append(f"next: faceloom run {self.workspace}")
        return lines


def run(config: NewConfig, *, progress: Progress, cancel: Cancel) -> NewResult:
    """Make or complete a workspace; media and faces that are already there stay untouched.

    Raises `InputError` when footage is missing or would be replaced, or a folder cannot be made.
    """
    sources = {"src": config.src, "dst": config.dst}
    for side in SIDES:
        _check(Workspace(config.workspace.expanduser()), side, sources[side])
    workspace = create_workspace(config.workspace)
    for side in SIDES:
        source = sources[side]
        if source is not None:
            place = source.expanduser()
            if config.copy_footage:
                place = _take_in(workspace, side, place, progress, cancel)
            set_footage(workspace, side, place)
    return _state_rights(config, workspace, progress, cancel)


def _check(workspace: Workspace, side: Side, source: Path | None) -> None:
    """Refuse, before anything is made, what is no footage, would replace some, or leaves none."""
    workspace.read()
    if source is None:
        if not workspace.has_footage(side):
            raise InputError(
                f"{workspace.folder}: holds no {side} footage yet; --{side} is needed: a video, "
                "a photo or a folder of either"
            )
        return
    open_footage(footage_in(source.expanduser()))
    reference = workspace.footage_reference(side) if workspace.folder.is_dir() else None
    if reference is not None and not _same(reference, source.expanduser()):
        raise InputError(
            f"{workspace.folder}: its {side} footage is {reference}; make another workspace for "
            f"{source}, or correct the path in {workspace.file}"
        )


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _take_in(
    workspace: Workspace, side: Side, source: Path, progress: Progress, cancel: Cancel
) -> Path:
    """Copy footage to `data_src.*` or into `data_src/`; return where it lies now.

    What is there with the same content stays, so a cancelled copy can be run again.
    """
    found = footage_in(source)
    single = isinstance(found, Path) and found.is_file()
    if single:
        target = workspace.folder / f"data_{side}{source.suffix.lower()}"
        pairs = [(source, target)]
    else:
        target = workspace.data(side)
        pairs = [(file, target / file.name) for file in media_files(source)]
    progress.start(f"copy {side}", len(pairs), "files")
    for file, copy in pairs:
        cancel.check()
        if copy.exists():
            if file_sha256(copy) != file_sha256(file):
                raise InputError(f"{copy}: other footage is there already; move it away first")
        else:
            with atomic_path(copy) as temporary:
                shutil.copyfile(file, temporary)
        progress.advance()
    progress.finish()
    return target


def _state_rights(
    config: NewConfig, workspace: Workspace, progress: Progress, cancel: Cancel
) -> NewResult:
    footage = {side: workspace.footage(side) for side in SIDES}
    files = {
        side: describe_footage(workspace.folder, footage[side], progress=progress, cancel=cancel)
        for side in SIDES
    }
    record = make_record(
        Statement(
            ground=config.src_rights,
            subject=config.src_name,
            note=config.note,
            files=files["src"],
        ),
        Statement(
            ground=config.dst_rights,
            subject=config.dst_name,
            note=config.note,
            files=files["dst"],
        ),
        stated_by=config.stated_by,
    )
    digest = write_rights(workspace.folder, record)
    grounds = {"src": config.src_rights, "dst": config.dst_rights}
    append_ledger(workspace.folder, "rights", {"rights_sha256": digest, "grounds": grounds})
    return NewResult(
        workspace=workspace.folder,
        src=_listed(footage["src"]),
        dst=_listed(footage["dst"]),
        record=record,
        rights_digest=digest,
    )


def _listed(footage: Path | list[Path]) -> list[Path]:
    return [footage] if isinstance(footage, Path) else footage
