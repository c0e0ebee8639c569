"""Renaming, copying and deleting whole models.

A model is one folder, and its name is the folder's: so each of these concerns exactly one model of
one class (the original matched name prefixes, and took models of other classes along: training.md
10, defect 10).
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
    find_model,
    list_models,
    locked,
    model_folder,
    split_name,
    sync_folder,
)
from faceloom.checkpoints.snapshots import copied_state, link_file
from faceloom.core import InputError, ModelError, file_lock
from faceloom.models import MODELS

_DELETED_PREFIX: Final = ".tmp-deleted-"
_COPIED_PREFIX: Final = ".tmp-state-"


def named_model(
    models: Path, name: str | None = None, *, class_name: str | None = None
) -> ModelFolder:
    """The saved model of that name: `NAME`, or `NAME_CLASS` as its folder is called, which wins.

    Without a name it is the only one there is. Raises `InputError` when none or several fit.
    """
    if class_name is not None:
        MODELS[class_name]
    if name is not None:
        for folder in list_models(models, class_name):
            if folder.path.name == name:
                return folder
    return find_model(models, name=name, class_name=class_name)


def name_and_class(folder: ModelFolder) -> tuple[str, str]:
    """What the folder's own name says; `ModelError` when that is not a model's."""
    parts = split_name(folder.path)
    if parts is None:
        raise ModelError(f"{folder.path}: not named like a model (NAME_CLASS)")
    return parts


def in_training(folder: ModelFolder) -> bool:
    """Whether a process holds this model."""
    file = folder.path / ".lock"
    if not file.exists():
        return False
    with file_lock(file, wait=False) as held:
        return not held


def rename_model(folder: ModelFolder, name: str) -> ModelFolder:
    """Give a model another name, with all that is in its folder.

    Raises `InputError` when there is a model of that name and class or the name is unfit,
    `ModelError` when it is in training.
    """
    target = _free(folder, name)
    with _managing(folder.path.parent):
        # Windows lets no folder with an open file in it be moved: there the lock must go first,
        # and that very rule keeps a training that starts now safe.
        with locked(folder):
            if sys.platform != "win32":
                folder.path.rename(target.path)
        if sys.platform == "win32":
            folder.path.rename(target.path)
        sync_folder(target.path.parent)
    return target


def copy_model(folder: ModelFolder, name: str) -> ModelFolder:
    """Make another model of the saved state, which may be in training: for an experiment.

    It gets losses, previews and log as well; not backups and snapshots. Raises `InputError` when
    there is a model of that name and class or the name is unfit.
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

    It is gone at once or not at all: a kill on the way leaves no half of it behind under its name.
    Raises `ModelError` when it is in training, `InputError` when its folder is a link.
    """
    if folder.path.is_symlink():
        raise InputError(
            f"{folder.path}: is a link to {folder.path.readlink()}; delete that folder, and the "
            "link, by hand"
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
        raise InputError(f"{target.path}: is there already; choose another name")
    return target


@contextlib.contextmanager
def _managing(models: Path) -> Generator[None]:
    """One process at a time, which first sweeps what a killed one left."""
    with file_lock(models / ".managing", wait=True):
        for prefix in (_DELETED_PREFIX, _COPIED_PREFIX):
            for leftover in models.glob(f"{prefix}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        yield
