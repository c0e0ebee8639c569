"""Which saved state is known to be good, and going back to it.

A state may be saved in the moment between a model's going wrong and its losses' showing it. So the
state before it is kept, as links, until the new one has proven itself by further losses.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from faceloom.core import ModelError
from faceloom.training.checkpoint import ModelState, read_state
from faceloom.training.folder import ModelFolder
from faceloom.training.snapshots import copied_state, install_state, link_file

PROOF: Final = 100
"""Iterations after which a saved state counts as good, when nothing has been wrong with them."""


def proven_folder(folder: ModelFolder) -> Path:
    """Where the last proven state is kept."""
    return folder.path / "proven"


def keep_proven(folder: ModelFolder) -> None:
    """Keep the saved state as the proven one, in place of the one before."""
    unfinished = copied_state(folder, folder.path)
    forget_proven(folder)
    unfinished.rename(proven_folder(folder))


def forget_proven(folder: ModelFolder) -> None:
    """The proven state is of other settings, or no longer wanted."""
    shutil.rmtree(proven_folder(folder), ignore_errors=True)


def go_back(folder: ModelFolder, *, collapsed_at: int, again: bool) -> ModelState:
    """Make the latest state that is surely good the saved one; returns it.

    That is the saved one, unless it had no time to prove itself before the collapse at
    `collapsed_at`, or going back to it did not help (`again`): then the proven one before it, and
    after that the newest backup before it. Hold the model by `locked` meanwhile.
    """
    state = read_state(folder)
    if collapsed_at - state.iteration >= PROOF and not again:
        return state
    for source in (proven_folder(folder), *_backups(folder, before=state.iteration)):
        try:
            kept = read_state(ModelFolder(source))
        except ModelError:
            continue
        if kept.iteration < state.iteration and kept.settings == state.settings:
            return _install(folder, kept, source)
    return state


def _install(folder: ModelFolder, kept: ModelState, source: Path) -> ModelState:
    def link(unfinished: Path) -> None:
        for name in kept.files:
            link_file(source / kept.folder / name, unfinished / name)

    return install_state(folder, kept, link, history_from=source / folder.history_file.name)


def _backups(folder: ModelFolder, *, before: int) -> list[Path]:
    """Backups of fewer iterations, the newest first."""
    if not folder.backups.is_dir():
        return []
    found = [entry for entry in folder.backups.iterdir() if entry.name[:8].isdigit()]
    older = [entry for entry in found if int(entry.name[:8]) < before]
    return sorted(older, key=lambda entry: entry.name, reverse=True)
