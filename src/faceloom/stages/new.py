"""Create a workspace: its layout, its footage and its rights record."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from faceloom.core.errors import InputError
from faceloom.core.events import Cancel, Progress
from faceloom.core.paths import atomic_path
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES, Side
from faceloom.media import open_footage
from faceloom.provenance import (
    RightsRecord,
    Statement,
    append_ledger,
    describe_footage,
    file_sha256,
    make_record,
    write_rights,
)
from faceloom.stages.config import NewConfig
from faceloom.workspace.layout import (
    Workspace,
    create_workspace,
    footage_in,
    media_files,
    set_footage,
)


@dataclass(frozen=True)
class NewResult(Result):
    """The workspace, its footage and its rights record."""

    workspace: Path
    src: list[Path]
    dst: list[Path]
    rights: RightsRecord
    rights_digest: str

    def lines(self) -> list[str]:
        """The result for people."""
        lines = [f"workspace: {self.workspace}"]
        sides = (("src", self.src, self.rights.src), ("dst", self.dst, self.rights.dst))
        for side, paths, statement in sides:
            shown = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files in {paths[0].parent}"
            who = f" ({statement.subject})" if statement.subject else ""
            lines.append(f"{side}{who}: {shown}, ground: {statement.ground}")
        lines.append(f"rights record: {self.workspace / 'rights.json'}")
        lines.append(f"next: faceloom run {self.workspace}")
        return lines


def run(config: NewConfig, *, progress: Progress, cancel: Cancel) -> NewResult:
    """Create or complete a workspace; existing media and faces stay untouched.

    Raises `InputError` if footage is missing or would be replaced, or a folder cannot be created.
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
                place = _copy_footage(workspace, side, place, progress, cancel)
            set_footage(workspace, side, place)
    return _state_rights(config, workspace, progress, cancel)


def _check(workspace: Workspace, side: Side, source: Path | None) -> None:
    """Check, before anything is written, that the footage can be used and replaces no other."""
    workspace.read()
    if source is None:
        if not workspace.has_footage(side):
            raise InputError(
                f"{workspace.folder}: no {side} footage yet; pass --{side} with a video, a "
                "photo or a folder of either"
            )
        return
    open_footage(footage_in(source.expanduser()))
    reference = workspace.footage_reference(side) if workspace.folder.is_dir() else None
    if reference is not None and not _same(reference, source.expanduser()):
        raise InputError(
            f"{workspace.folder}: the {side} footage is {reference}; create another workspace for "
            f"{source}, or correct the path in {workspace.file}"
        )


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _copy_footage(
    workspace: Workspace, side: Side, source: Path, progress: Progress, cancel: Cancel
) -> Path:
    """Copy footage to `data_src.*` or into `data_src/`; return its new path.

    Files that are there with the same content are kept, so a cancelled copy can be run again.
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
                raise InputError(f"{copy}: a different file has this name; move it away first")
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
        rights=record,
        rights_digest=digest,
    )


def _listed(footage: Path | list[Path]) -> list[Path]:
    return [footage] if isinstance(footage, Path) else footage
