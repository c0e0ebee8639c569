"""Which saved state is known to be good, and going back to it.

A state may be saved in the moment between a model's going wrong and its losses' showing it. So an
older state is kept, as links, until a newer one has proven itself by the losses after it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from faceloom.checkpoints.folder import ModelFolder
from faceloom.checkpoints.snapshots import copied_state, install_state, link_file
from faceloom.checkpoints.state import ModelState, read_state
from faceloom.core import ModelError

PROOF: Final = 100
"""Iterations after which a saved state counts as good, when nothing has been wrong with them."""
_PROVEN, _CANDIDATE = "proven", "candidate"


class Proofs:
    """Keeps a state that has proven itself, and the next one that is about to."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self._candidate: int | None = None

    def saved(self, iteration: int) -> None:
        """The state of `iteration` was saved, and the losses up to it are as they should be."""
        if self._candidate is not None and iteration - self._candidate < PROOF:
            return
        if self._candidate is not None:
            _replace(self._folder.path / _CANDIDATE, self._folder.path / _PROVEN)
        unfinished = copied_state(self._folder, self._folder.path)
        _replace(unfinished, self._folder.path / _CANDIDATE)
        self._candidate = iteration


def go_back(folder: ModelFolder, *, collapsed_at: int, sudden: bool, again: bool) -> ModelState:
    """Make the latest state that is surely good the saved one; returns it.

    After a `sudden` end, a number that is none, that is the saved one, whose weights were looked
    at. After a jump of the loss it is too, unless it had no time to prove itself before the
    collapse was seen at `collapsed_at`, or going back to it did not help (`again`): then the newest
    older one that is kept, a backup if need be. Hold the model by `locked` meanwhile.
    """
    state = read_state(folder)
    latest = collapsed_at - PROOF
    if (sudden or state.iteration <= latest) and not again:
        return state
    older = [
        (kept, source)
        for kept, source in _kept(folder)
        if kept.iteration < state.iteration
        and kept.iteration <= latest
        and kept.settings == state.settings
    ]
    if not older:
        return state
    kept, source = max(older, key=lambda entry: entry[0].iteration)
    return _install(folder, kept, source)


def _kept(folder: ModelFolder) -> Iterator[tuple[ModelState, Path]]:
    """Every whole state that is kept, and where."""
    places = [folder.path / _CANDIDATE, folder.path / _PROVEN]
    if folder.backups.is_dir():
        places += [entry for entry in folder.backups.iterdir() if not entry.name.startswith(".")]
    for place in places:
        try:
            yield read_state(ModelFolder(place)), place
        except ModelError:
            continue


def _install(folder: ModelFolder, kept: ModelState, source: Path) -> ModelState:
    def link(unfinished: Path) -> None:
        for name in kept.files:
            link_file(source / kept.folder / name, unfinished / name)

    return install_state(folder, kept, link, history_from=source / folder.history_file.name)


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    source.rename(target)
