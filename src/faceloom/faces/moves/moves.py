"""Renaming and moving faces safely: with a journal, and undo.

Faces move within their faceset and to and from folders next to it (`aligned` → `aligned_trash`).
The whole operation is on disk before the first rename; after a kill at any instant `recover_moves`
finishes it. Nothing is ever overwritten or deleted. The index, with its measures, follows the
faces. The last operations can be undone, one by one.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from stat import S_ISDIR
from typing import Final

from faceloom.core import (
    Cancel,
    FormatError,
    InputError,
    NullProgress,
    Progress,
    file_lock,
)
from faceloom.core.paths import sweep_temporary
from faceloom.core.words import counted
from faceloom.faces.archives.pack import folder_pack
from faceloom.faces.index.moves import follow_moves
from faceloom.faces.index.store import INDEX_NAME
from faceloom.faces.moves import journal
from faceloom.faces.moves.journal import Header, Step
from faceloom.faces.moves.plan import plan_moves
from faceloom.faces.moves.run import Outcome, carry_out, steps_done

EXTRACT_LOCK: Final = ".faceloom-extract.lock"
"""What an extraction locks while it writes faces (`faceloom.stages.extract.journal`)."""
_LOCK = "lock"
_LONGEST_LABEL = 200


@dataclass(frozen=True)
class Move:
    """A face's old and new path."""

    source: Path
    target: Path


@dataclass
class Moved:
    """What an operation did."""

    moved: int = 0
    """Faces with a new path."""
    renamed: list[tuple[Path, Path]] = field(default_factory=lambda: list[tuple[Path, Path]]())
    """(wanted, given): targets that were in use and got another free name."""
    missing: list[Path] = field(default_factory=lambda: list[Path]())
    """Faces that were gone before they could be moved."""
    failed: list[tuple[Path, str]] = field(default_factory=lambda: list[tuple[Path, str]]())
    """Faces that could not be moved, and why; they stay where they were."""


@dataclass(frozen=True)
class Operation:
    """An operation that can be undone."""

    label: str
    time: float
    """When, in seconds since 1970."""
    count: int
    """Faces moved."""


def move_faces(
    folder: Path,
    moves: Sequence[Move],
    *,
    label: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Moved:
    """Carry out `moves` as one operation called `label`, which `undo_moves` can undo.

    Sources and targets are pictures in `folder`, in folders within it, or in folders next to it
    named `<folder>_…`; missing folders are created. Faces may swap places. `cancel` has an effect
    until the first rename; the rest takes only seconds.

    Raises `InputError` before anything is changed: for any other place, a face that is moved
    twice, a packed faceset, another file system, or while another tool works in the folder.
    """
    show = NullProgress() if progress is None else progress
    root = _root(folder)
    with _locked(root) as why:
        if why is not None:
            raise InputError(f"{folder}: {why}")
        _recover(root)
        if cancel is not None:
            cancel.check()
        result, relative = Moved(), _Relative(root)
        header, steps = _prepare(root, relative, moves, label, result)
        if not steps:
            return result
        if cancel is not None:
            cancel.check()
        number = journal.next_number(root)
        todo = journal.entry_path(root, number, "todo")
        _make_folders(root, steps)
        journal.write_steps(todo, header, steps)
        show.start("moving", len(steps), "faces")
        outcome = carry_out(root, todo, steps, {}, 0, show)
        _finish(root, number, header, outcome)
        _report(relative, outcome, result, show)
        return result


def undo_moves(folder: Path, *, progress: Progress | None = None) -> str:
    """Undo the last operation and return its label.

    Faces that were renamed or deleted by hand since are skipped and noted; if another file has a
    face's old name, the face gets a similar free one. Raises `InputError` if there is nothing to
    undo, and as `move_faces`.
    """
    show = NullProgress() if progress is None else progress
    root = _root(folder)
    if not journal.entries(root):
        raise InputError(f"{folder}: nothing to undo")
    with _locked(root) as why:
        if why is not None:
            raise InputError(f"{folder}: {why}")
        _recover(root)
        done = [(number, path) for number, state, path in journal.entries(root) if state == "done"]
        if not done:
            raise InputError(f"{folder}: nothing to undo")
        number, path = done[-1]
        header, pairs = journal.read_done(path, root)
        back = [Move(root / target, root / source) for source, target in pairs]
        result, relative = Moved(), _Relative(root)
        undoing, steps = _prepare(root, relative, back, header.label, result)
        if steps:
            todo = journal.entry_path(root, number, "undo")
            undoing = Header(undoing.id, header.label, header.time, len(steps), header.made)
            _make_folders(root, steps)
            journal.write_steps(todo, undoing, steps)
            show.start("moving back", len(steps), "faces")
            outcome = carry_out(root, todo, steps, {}, 0, show)
            _finish_undo(root, number, undoing, outcome)
            _report(relative, outcome, result, show)
        else:
            path.unlink()
        _note(result, show)
        return header.label


def operations(folder: Path) -> list[Operation]:
    """The operations that `undo_moves` can undo, newest last."""
    found: list[Operation] = []
    for _, state, path in journal.entries(folder):
        if state == "done":
            with contextlib.suppress(FormatError):
                header = journal.read_header(path)
                found.append(Operation(header.label, header.time, header.count))
    return found


def renamed_since(folder: Path, time_s: float) -> set[str]:
    """Names in `folder` that operations since `time_s` (Unix time) gave to other faces."""
    root, names = folder.resolve(), set[str]()
    for _, state, path in journal.entries(root):
        if state == "done":
            with contextlib.suppress(FormatError):
                header, pairs = journal.read_done(path, root)
                if header.time > time_s:
                    names.update(target for _, target in pairs if "/" not in target)
    return names


def recover_moves(folder: Path) -> bool:
    """Finish operations that a kill interrupted; return whether there were any.

    Fast if there are none. If another process is moving faces or extracting there, nothing is
    done.
    """
    if not _interrupted(folder):
        return False
    root = _root(folder)
    with _locked(root) as why:
        return why is None and _recover(root)


@contextlib.contextmanager
def lock_faces(folder: Path) -> Generator[None]:
    """Lock a faceset for a tool that rewrites or deletes its faces; `move_faces` locks it itself.

    Inside the context no other tool moves, packs or extracts faces there. Interrupted moves are
    finished first. Raises `InputError` while another tool works there, or if the folder is not
    writable.
    """
    root = folder.resolve()
    with _locked(root) as why:
        if why is not None:
            raise InputError(f"{folder}: {why}")
        if folder_pack(root) is None:
            _recover(root)
        yield


@contextlib.contextmanager
def _locked(root: Path) -> Generator[str | None]:
    """Lock the folder against other tools and extractions; yield why that failed, or None.

    Raises `InputError` if the folder is not writable, also for any `OSError` of the body.
    """
    try:
        if (root / journal.JOURNAL_FOLDER).is_symlink():
            yield f"its {journal.JOURNAL_FOLDER} is a symbolic link, not ours; delete it"
            return
        (root / journal.JOURNAL_FOLDER).mkdir(exist_ok=True)
        lock = file_lock(root / journal.JOURNAL_FOLDER / _LOCK, wait=False)
        extraction = file_lock(root / EXTRACT_LOCK, wait=False)
        with lock as ours, extraction as free:
            if not ours:
                yield "another process is moving or rewriting faces there"
            elif not free:
                yield "an extraction is writing there; wait until it has finished"
            else:
                yield None
    except OSError as error:
        where = error.filename or root
        raise InputError(f"{where}: faces cannot be changed: {error.strerror or error}") from None


# --- before the first rename


def _root(folder: Path) -> Path:
    root = folder.resolve()
    if not root.is_dir():
        raise InputError(f"{folder}: no faceset there")
    pack = folder_pack(root)
    if pack is not None:
        raise InputError(f"{folder}: the faceset is packed ({pack.name}); unpack it first")
    return root


def _prepare(
    root: Path, relative: _Relative, moves: Sequence[Move], label: str, result: Moved
) -> tuple[Header, list[Step]]:
    """Plan an operation: its header and steps."""
    pairs = [(relative(move.source), relative(move.target)) for move in moves]
    sources = {source for source, _ in pairs}
    if len(sources) != len(pairs):
        raise InputError(f"{root}: a face is to be moved to two places at once")
    folders = {os.path.dirname(path) for pair in pairs for path in pair}  # noqa: PTH120
    present = set(_present(root, folders))
    device = root.stat().st_dev
    stats: dict[str, os.stat_result] = {}
    for source in sources & present:
        with contextlib.suppress(OSError):
            stat = (root / source).stat(follow_symlinks=False)
            if not S_ISDIR(stat.st_mode):
                stats[source] = stat
    result.missing += [relative.path(source) for source, _ in pairs if source not in stats]
    plan = plan_moves([pair for pair in pairs if pair[0] in stats], present)
    made = tuple(sorted(name for name in _with_parents(folders) if not (root / name).is_dir()))
    for name in folders - set(made):
        if (root / name).stat().st_dev != device:
            raise InputError(f"{root / name}: it is on another file system than the faceset")
    result.renamed += [(relative.path(want), relative.path(got)) for want, got in plan.renamed]
    at: dict[str, str] = {}
    steps: list[Step] = []
    for source, target in plan.steps:
        at[target] = at.pop(source, source)
        stat = stats[at[target]]
        steps.append(Step(source, target, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    head = Header(uuid.uuid4().hex, label[:_LONGEST_LABEL], time.time(), plan.moved, made)
    return head, steps


def _with_parents(folders: set[str]) -> set[str]:
    """The folders, and those between them and the faceset's parent (`../aligned_duplicates`)."""
    parents = {parent.as_posix() for name in folders for parent in PurePosixPath(name).parents}
    return folders | (parents - {".", ".."})


def _make_folders(root: Path, steps: Sequence[Step]) -> None:
    """Create the folders that steps lead to; before the journal, in case this fails."""
    for folder in {os.path.dirname(step.target) for step in steps}:  # noqa: PTH120
        (root / folder).mkdir(parents=True, exist_ok=True)


class _Relative:
    """Converts to the journal's paths; `InputError` for paths that lead elsewhere."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[Path, str] = {}
        self._given: dict[str, Path] = {}

    def __call__(self, path: Path) -> str:
        folder = self._folders.get(path.parent)
        if folder is None:
            inside = os.path.relpath(path.parent.resolve(), self._root)
            folder = "" if inside == "." else inside.replace(os.sep, "/") + "/"
            self._folders[path.parent] = folder
            self._given.setdefault(folder, path.parent)
        try:
            return journal.checked(folder + path.name, self._root.name)
        except FormatError:
            where = f"pictures in {self._root} or in folders {self._root.name}_… next to it"
            raise InputError(f"{path}: faces move among {where}") from None

    def path(self, relative: str) -> Path:
        """Convert back, with the folder as the caller named it."""
        folder, _, name = relative.rpartition("/")
        return self._given[f"{folder}/" if folder else ""] / name


def _present(root: Path, folders: Iterable[str]) -> Generator[str]:
    for folder in folders:
        before = f"{folder}/" if folder else ""
        with contextlib.suppress(FileNotFoundError), os.scandir(root / folder) as found:
            for entry in found:
                yield before + entry.name


# --- after the last rename


def _finish(root: Path, number: int, header: Header, outcome: Outcome) -> None:
    """Update the index, and add the operation to the history."""
    moved = outcome.moved()
    _sync(root, moved)
    follow_moves(root, moved, header.id)
    done = Header(header.id, header.label, header.time, len(moved), header.made)
    if moved:
        journal.write_done(journal.entry_path(root, number, "done"), done, moved)
    journal.entry_path(root, number, "todo").unlink(missing_ok=True)
    history = [path for _, state, path in journal.entries(root) if state == "done"]
    for old in history[: -journal.KEPT_OPERATIONS]:
        old.unlink(missing_ok=True)


def _finish_undo(root: Path, number: int, header: Header, outcome: Outcome) -> None:
    moved = outcome.moved()
    _sync(root, moved)
    follow_moves(root, moved, header.id)
    for made in sorted(header.made, reverse=True):
        _remove_made(root, made)
    journal.entry_path(root, number, "done").unlink(missing_ok=True)
    journal.entry_path(root, number, "undo").unlink(missing_ok=True)


def _sync(root: Path, moved: Sequence[tuple[str, str]]) -> None:
    for folder in {os.path.dirname(path) for pair in moved for path in pair}:  # noqa: PTH120
        journal.sync_folder(root / folder)


def _remove_made(root: Path, made: str) -> None:
    """Remove a folder that an operation created, if it contains nothing but our index."""
    try:
        journal.checked(f"{made}/x.jpg", root.name)
        folder = root / made
        if all(entry.name == INDEX_NAME for entry in folder.iterdir()):
            (folder / INDEX_NAME).unlink(missing_ok=True)
            folder.rmdir()
    except (FormatError, OSError):
        pass


def _report(relative: _Relative, outcome: Outcome, result: Moved, progress: Progress) -> None:
    path = relative.path
    result.moved = len(outcome.moved())
    result.missing += [path(name) for name in outcome.missing]
    result.renamed += [(path(wanted), path(given)) for wanted, given in outcome.renamed]
    result.failed += [(path(name), reason) for name, reason in outcome.failed]
    for face, reason in result.failed[:10]:
        progress.note(f"{face}: not moved: {reason}")


def _note(result: Moved, progress: Progress) -> None:
    if result.missing:
        first = ", ".join(path.name for path in result.missing[:3])
        progress.note(
            f"{counted(len(result.missing), 'face')} deleted or renamed by hand: {first} …"
        )
    for wanted, given in result.renamed[:10]:
        progress.note(f"{wanted}: now used by another file; the face is {given.name}")


# --- after a kill


def _interrupted(root: Path) -> list[tuple[int, journal.State, Path]]:
    return [entry for entry in journal.entries(root) if entry[1] != "done"]


def _recover(root: Path) -> bool:
    """Finish interrupted operations. The folder must be locked."""
    sweep_temporary(root / journal.JOURNAL_FOLDER)
    found = _interrupted(root)
    for number, state, path in found:
        try:
            header, steps, elsewhere = journal.read_steps(path, root)
            _no_detours(root, steps)
        except FormatError:
            # Not caused by a kill: our files are written whole. It cannot be trusted, but a later
            # version may have written it, so it is kept.
            path.replace(path.with_suffix(".damaged"))
            continue
        if state == "todo" and journal.entry_path(root, number, "done").exists():
            path.unlink()
            continue
        with contextlib.suppress(OSError):  # then the faces stay where they are
            _make_folders(root, steps)
        done = steps_done(root, steps, elsewhere)
        outcome = carry_out(root, path, steps, elsewhere, done, NullProgress(), recovering=True)
        finish = _finish if state == "todo" else _finish_undo
        finish(root, number, header, outcome)
    return bool(found)


def _no_detours(root: Path, steps: Sequence[Step]) -> None:
    """`FormatError` if a folder in the journal, which may come from elsewhere, is a link."""
    for folder in {os.path.dirname(path) for step in steps for path in step[:2]}:  # noqa: PTH120
        real = (root / folder).resolve()
        if real != Path(os.path.normpath(root / folder)):
            raise FormatError(f"{folder} is a link")
