"""Older states of a model that are kept: backups by iteration, snapshots by label.

backups/00012000/           made hourly or on request; the oldest are deleted when there are many
snapshots/before gan/       kept until the user deletes it
  state.json, state-…/, history.f32, preview.jpg

Files are hard links, not copies, where the file system allows: a save replaces them with new files
and never writes into them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from faceloom.checkpoints.folder import ModelFolder, sync_folder
from faceloom.checkpoints.state import ModelState, read_state, sweep
from faceloom.core import InputError, ModelError, atomic_write, file_lock

PREVIEW_FILE: Final = "preview.jpg"
_STATE_PREFIX: Final = "state-"
_UNFINISHED_PREFIX: Final = ".tmp-state-"
_ATTEMPTS: Final = 5
_FORBIDDEN: Final = frozenset('/\\:*?"<>|')

Kind = Literal["backup", "snapshot"]


@dataclass(frozen=True)
class Kept:
    """A kept state."""

    kind: Kind
    name: str
    path: Path
    state: ModelState | None
    """Its content; None when it is damaged."""

    @property
    def iteration(self) -> int | None:
        return None if self.state is None else self.state.iteration


def snapshots_folder(folder: ModelFolder) -> Path:
    """The folder of a model's snapshots."""
    return folder.path / "snapshots"


def backup(folder: ModelFolder, *, keep: int = 24) -> Path:
    """Keep the saved state as `backups/<iteration>`, and delete all but the latest `keep`.

    A state that is already kept is not kept again; a different one of the same iteration (after a
    restore or reset) gets a token after the number. The model may be in training.
    """
    with _keeping(folder):
        target = _back_up(folder)
        by_age = sorted(_listed(folder, "backup"), key=_age)
        for entry in by_age[: -max(1, keep)]:
            if entry.path != target:
                shutil.rmtree(entry.path, ignore_errors=True)
    return target


def snapshot(folder: ModelFolder, name: str, *, replace: bool = False) -> Path:
    """Keep the saved state as `snapshots/<name>`. The model may be in training.

    Raises `InputError` for a name that is not allowed, and unless `replace` for one that another
    state has.
    """
    check_snapshot_name(name)
    target = snapshots_folder(folder) / name
    with _keeping(folder):
        state = read_state(folder)
        there = _kept("snapshot", target) if target.exists() else None
        if there is not None and _same(folder, state, there):
            return target
        if there is not None and not replace:
            raise InputError(
                f"{folder.path.name} already has a snapshot {name!r}, of iteration "
                f"{there.iteration}; choose another label or delete it first"
            )
        unfinished = _copied_with_preview(folder, target.parent)
        if there is not None:
            old = target.with_name(f"{_UNFINISHED_PREFIX}{uuid.uuid4().hex[:8]}")
            target.rename(old)
            _publish(unfinished, target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            _publish(unfinished, target)
    return target


def check_snapshot_name(name: str) -> None:
    """`InputError` for a name that some system does not allow for a folder."""
    if not name or name.startswith(".") or name != name.strip() or _FORBIDDEN & set(name):
        raise InputError(f"snapshot label {name!r}: use letters, digits, spaces, - and _")


def list_backups(folder: ModelFolder) -> list[Kept]:
    """Every backup, the oldest first."""
    return sorted(_listed(folder, "backup"), key=_age)


def list_snapshots(folder: ModelFolder) -> list[Kept]:
    """Every snapshot, the oldest first."""
    return sorted(_listed(folder, "snapshot"), key=_age)


def find_kept(folder: ModelFolder, wanted: str) -> Kept:
    """The snapshot of that name, or else the backup of that name or (the latest) iteration.

    Raises `InputError` with a list of what exists.
    """
    snapshots, backups = list_snapshots(folder), list_backups(folder)
    fitting = [entry for entry in snapshots if entry.name == wanted]
    fitting += [entry for entry in backups if entry.name == wanted]
    if not fitting and wanted.isdigit():
        fitting = [entry for entry in backups[::-1] if entry.iteration == int(wanted)]
    if fitting:
        return fitting[0]
    known = [repr(entry.name) for entry in snapshots] + [entry.name for entry in backups]
    there = f"it has {', '.join(known)}" if known else "it has none"
    raise InputError(f"{folder.path.name} has no snapshot or backup {wanted!r}; {there}")


def forget(entry: Kept) -> None:
    """Delete a snapshot or backup; a kill never leaves a part that looks complete."""
    doomed = entry.path.with_name(f"{_UNFINISHED_PREFIX}{uuid.uuid4().hex[:8]}")
    entry.path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def restore(folder: ModelFolder, source: Path) -> ModelState:
    """Restore a kept state, a folder of `backups` or `snapshots`.

    The current state is kept as a backup first, even a damaged one, as far as possible. A kill at
    any time leaves the model at the old or the restored state; only the losses of an old state from
    another branch may then be those of the restored one. The caller must hold `locked`. Raises
    `ModelError` when the source is damaged.
    """
    kept = ModelFolder(source)
    state = read_state(kept)
    with _keeping(folder):
        try:
            _back_up(folder)
        except ModelError:
            _keep_damaged(folder)

        def link(unfinished: Path) -> None:
            for name in state.files:
                link_file(source / state.folder / name, unfinished / name)

        return install_state(folder, state, link, history_from=kept.history_file)


def install_state(
    folder: ModelFolder,
    state: ModelState,
    fill: Callable[[Path], None],
    *,
    history_from: Path | None = None,
) -> ModelState:
    """Make `state`, with the files that `fill` puts into an empty folder, the current state.

    Renaming `state.json`, the last step, makes it current; the previous state is then deleted.
    """
    token = uuid.uuid4().hex[:8]
    unfinished = folder.path / f"{_UNFINISHED_PREFIX}{token}"
    unfinished.mkdir(parents=True)
    try:
        fill(unfinished)
        sync_folder(unfinished)
        files = {file.name: file.stat().st_size for file in sorted(unfinished.iterdir())}
        name = f"{_STATE_PREFIX}{state.iteration:08d}-{token}"
        unfinished.rename(folder.path / name)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if history_from is not None:
        _merge_history(folder.history_file, history_from)
    sync_folder(folder.path)
    installed = state.model_copy(update={"folder": name, "files": files})
    atomic_write(folder.state_file, installed.model_dump_json(indent=1))
    sync_folder(folder.path)
    sweep(folder, keep=name)
    return installed


@contextlib.contextmanager
def _keeping(folder: ModelFolder) -> Generator[None]:
    """One process at a time keeps states of a model: trainer and commands may compete."""
    if not folder.path.is_dir():
        raise ModelError(f"{folder.path}: no trained model here")
    with file_lock(folder.path / ".keeping", wait=True):
        for parent in (folder.backups, snapshots_folder(folder)):
            for leftover in parent.glob(f"{_UNFINISHED_PREFIX}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        yield


def _back_up(folder: ModelFolder) -> Path:
    """Keep the saved state in `backups` unless it is already there; return its folder."""
    state = read_state(folder)
    plain = folder.backups / f"{state.iteration:08d}"
    for target in (plain, plain.with_name(f"{plain.name}-{_token(state)}")):
        there = _kept("backup", target) if target.exists() else None
        if there is None:
            return _publish(_copied_with_preview(folder, folder.backups), target)
        if _same(folder, state, there):
            return target
    raise ModelError(f"{folder.backups}: {plain.name}-{_token(state)} is damaged; delete it")


def _same(folder: ModelFolder, state: ModelState, kept: Kept) -> bool:
    """Whether a kept state has the same files as the current one: a restored state has a new name,
    and after a reset some files are those of the state before."""
    if kept.state is None or kept.state.files != state.files:
        return False
    if kept.state.folder == state.folder:
        return True
    ours, theirs = folder.path / state.folder, kept.path / kept.state.folder
    return all((ours / name).samefile(theirs / name) for name in state.files)


def _copied_with_preview(folder: ModelFolder, parent: Path) -> Path:
    """`copied_state` with the latest preview, which shows what it is."""
    unfinished = copied_state(folder, parent)
    with contextlib.suppress(FileNotFoundError):
        link_file(folder.previews / "last.jpg", unfinished / PREVIEW_FILE)
    return unfinished


def copied_state(folder: ModelFolder, parent: Path) -> Path:
    """The saved state in a new folder of `parent`, whose name still marks it as unfinished."""
    for _ in range(_ATTEMPTS):
        state = read_state(folder)
        unfinished = parent / f"{_UNFINISHED_PREFIX}{uuid.uuid4().hex[:8]}"
        try:
            _copy_state(folder, state, unfinished)
            return unfinished
        except BaseException as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            # Training in another process may have replaced the state in the meantime.
            if not isinstance(error, FileNotFoundError):
                raise
    raise ModelError(f"{folder.path}: is being saved constantly; try again")


def _copy_state(folder: ModelFolder, state: ModelState, target: Path) -> None:
    """Put a state and its history into the new folder `target`."""
    (target / state.folder).mkdir(parents=True)
    for name in state.files:
        link_file(folder.path / state.folder / name, target / state.folder / name)
    sync_folder(target / state.folder)
    if folder.history_file.exists():
        atomic_write(target / folder.history_file.name, folder.history_file.read_bytes())
    atomic_write(target / folder.state_file.name, state.model_dump_json(indent=1))
    sync_folder(target)


def _keep_damaged(folder: ModelFolder) -> None:
    """Keep what is left of a damaged state, which may still be useful."""
    states = [entry for entry in folder.path.glob(f"{_STATE_PREFIX}*") if entry.is_dir()]
    present = [*states, *(file for file in (folder.state_file,) if file.exists())]
    if not present:
        return
    stamp = time.strftime("%Y%m%d-%H%M%S")
    target = folder.backups / f"damaged-{stamp}-{uuid.uuid4().hex[:4]}"
    unfinished = folder.backups / f"{_UNFINISHED_PREFIX}{uuid.uuid4().hex[:8]}"
    unfinished.mkdir(parents=True)
    for entry in present:
        if entry.is_dir():
            shutil.copytree(entry, unfinished / entry.name, copy_function=link_file)
        else:
            shutil.copyfile(entry, unfinished / entry.name)
    if folder.history_file.exists():
        shutil.copyfile(folder.history_file, unfinished / folder.history_file.name)
    _publish(unfinished, target)


def _publish(unfinished: Path, target: Path) -> Path:
    unfinished.rename(target)
    sync_folder(target.parent)
    return target


def _merge_history(path: Path, source: Path) -> None:
    """Replace the losses with the source's, but keep those of later iterations, which are valid
    until `state.json` is renamed and not read afterwards."""
    theirs = source.read_bytes() if source.exists() else b""
    ours = path.read_bytes() if path.exists() else b""
    if not ours.startswith(theirs):
        atomic_write(path, theirs + ours[len(theirs) :])


def _listed(folder: ModelFolder, kind: Kind) -> list[Kept]:
    parent = folder.backups if kind == "backup" else snapshots_folder(folder)
    if not parent.is_dir():
        return []
    return [
        _kept(kind, entry)
        for entry in parent.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    ]


def _kept(kind: Kind, path: Path) -> Kept:
    try:
        state = read_state(ModelFolder(path))
    except ModelError:
        state = None
    return Kept(kind, path.name, path, state)


def _age(entry: Kept) -> tuple[str, int, str]:
    if entry.state is None:
        return ("", 0, entry.name)
    return (entry.state.saved_at, entry.state.iteration, entry.name)


def _token(state: ModelState) -> str:
    return state.folder.rpartition("-")[2]


def link_file(source: Path | str, target: Path | str) -> None:
    """Make `target` a hard link to the file `source`, or a copy where links are not possible."""
    try:
        Path(target).hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
        with Path(target).open("rb+") as file:
            os.fsync(file.fileno())
