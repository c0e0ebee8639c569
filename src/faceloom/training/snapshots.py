"""Older states of a model, kept on purpose."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from faceloom.training.checkpoint import read_state
from faceloom.training.folder import ModelFolder

_UNFINISHED_PREFIX = ".tmp-state-"


def backup(folder: ModelFolder, *, keep: int = 24) -> Path:
    """Keep the saved state under `backups/<iteration>`, and the latest `keep` of these.

    Its files are linked, not copied, where the file system can: a save replaces them by new ones
    and never writes into them. To restore, copy a backup's content over the model folder.
    """
    state = read_state(folder)
    target = folder.backups / f"{state.iteration:08d}"
    if not target.exists():
        unfinished = folder.backups / f"{_UNFINISHED_PREFIX}{uuid.uuid4().hex[:8]}"
        (unfinished / state.folder).mkdir(parents=True)
        for name in state.files:
            _link(folder.path / state.folder / name, unfinished / state.folder / name)
        shutil.copyfile(folder.history_file, unfinished / folder.history_file.name)
        shutil.copyfile(folder.state_file, unfinished / folder.state_file.name)
        unfinished.rename(target)
    older = sorted(entry for entry in folder.backups.iterdir() if entry.name.isdigit())
    for entry in older[: -max(1, keep)]:
        shutil.rmtree(entry, ignore_errors=True)
    return target


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
