"""Renaming, copying and deleting whole models.

A model is one folder, and its name is the folder's, so each operation affects exactly one model of
one class. (DeepFaceLab matches prefixes of names, and deletes models of other classes too.)
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Final

from faceloom.checkpoints.folder import (
    ModelFolder,
    locked,
    model_folder,
    name_and_class,
    sync_folder,
)
from faceloom.checkpoints.snapshots import copied_state, link_file
from faceloom.core import InputError, file_lock

_DELETED_PREFIX: Final = ".tmp-deleted-"
_COPIED_PREFIX: Final = ".tmp-state-"


def in_training(folder: ModelFolder) -> bool:
    """Whether a process trains this model."""
    file = folder.path / ".lock"
    if not file.exists():
        return False
    with file_lock(file, wait=False) as held:
        return not held


def rename_model(folder: ModelFolder, name: str) -> ModelFolder:
    """Give a model another name, with everything in its folder.

    Raises `InputError` when a model of that name and class exists or the name is not allowed,
    `ModelError` when the model is in training.
    """
    target = _free(folder, name)
    with _managing(folder.path.parent):
        # Windows does not move a folder with an open file in it, so the lock must be released
        # first; the same rule protects training that starts now.
        with locked(folder):
            if sys.platform != "win32":
                folder.path.rename(target.path)
        if sys.platform == "win32":
            folder.path.rename(target.path)
        sync_folder(target.path.parent)
    return target


def copy_model(folder: ModelFolder, name: str) -> ModelFolder:
    """Copy the saved state to a new model, with losses, previews and log, for an experiment.

    Backups and snapshots are not copied. The model may be in training. Raises `InputError` when a
    model of that name and class exists or the name is not allowed.
    """
    target = _free(folder, name)
    with _managing(folder.path.parent):
        unfinished = copied_state(folder, folder.path.parent)
        try:
            if folder.previews.is_dir():
                shutil.copytree(
                    folder.previews,
                    unfinished / folder.previews.name,
                    copy_function=link_file,
                    ignore=shutil.ignore_patterns(".tmp-*"),
                )
            for file in (folder.loss_curve, folder.events_file):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(file, unfinished / file.name)
            unfinished.rename(target.path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        sync_folder(target.path.parent)
    return target


def delete_model(folder: ModelFolder) -> None:
    """Delete a model with its backups, snapshots and previews.

    It disappears at once or not at all: a kill never leaves half of it under its name. Raises
    `ModelError` when it is in training, `InputError` when its folder is a link.
    """
    if folder.path.is_symlink():
        raise InputError(
            f"{folder.path} is a link to {folder.path.readlink()}; delete that folder and the link "
            "yourself"
        )
    doomed = folder.path.with_name(f"{_DELETED_PREFIX}{uuid.uuid4().hex[:8]}")
    with _managing(folder.path.parent):
        with locked(folder):
            if sys.platform != "win32":
                folder.path.rename(doomed)
        if sys.platform == "win32":
            folder.path.rename(doomed)
        sync_folder(doomed.parent)
        shutil.rmtree(doomed)


def _free(folder: ModelFolder, name: str) -> ModelFolder:
    """The folder of a new name for a model of the same class."""
    class_name = name_and_class(folder)[1]
    target = model_folder(folder.path.parent, name.removesuffix(f"_{class_name}"), class_name)
    if target.path.exists():
        raise InputError(f"{target.path} already exists; choose another name")
    return target


@contextlib.contextmanager
def _managing(models: Path) -> Generator[None]:
    """One process at a time, which first removes what a killed one left."""
    with file_lock(models / ".managing", wait=True):
        for prefix in (_DELETED_PREFIX, _COPIED_PREFIX):
            for leftover in models.glob(f"{prefix}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        yield
