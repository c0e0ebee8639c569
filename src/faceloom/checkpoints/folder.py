"""The folder of one model: its files, its name, and the lock of whoever trains it.

model/<name>_<CLASS>/
  state.json            the current state: class, settings, iteration, name of the state folder
  state-00012000-a1b2/  the weights and optimizer state of that iteration (safetensors)
  history.f32           the losses of every iteration (little-endian float32, one column per loss)
  events.jsonl          event log: sessions, stages, resets, collapses, rollbacks
  previews/             last.jpg, masked.jpg, the history below, index.html
  candidate/, proven/   older states to return to after a collapse (links)
  backups/, snapshots/  older states kept on request
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from faceloom.core import InputError, ModelError, file_lock
from faceloom.models import MODELS

STATE_FILE = "state.json"
_FORBIDDEN = frozenset('/\\:*?"<>|')


@dataclass(frozen=True)
class ModelFolder:
    """The paths of a model. Creating this object touches no file."""

    path: Path

    @property
    def state_file(self) -> Path:
        return self.path / STATE_FILE

    @property
    def history_file(self) -> Path:
        return self.path / "history.f32"

    @property
    def previews(self) -> Path:
        return self.path / "previews"

    @property
    def backups(self) -> Path:
        return self.path / "backups"

    @property
    def events_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def loss_curve(self) -> Path:
        return self.path / "loss.png"

    @property
    def exists(self) -> bool:
        """Whether a state has been saved here."""
        return self.state_file.is_file()


def model_folder(models: Path, name: str, class_name: str) -> ModelFolder:
    """The folder of the model `name` of a class, existing or not; `InputError` for a bad name."""
    MODELS[class_name]
    if not name or name.startswith(".") or name != name.strip() or _FORBIDDEN & set(name):
        raise InputError(f"model name {name!r}: use letters, digits, spaces, - and _")
    return ModelFolder(models / f"{name}_{class_name}")


def list_models(models: Path, class_name: str | None = None) -> list[ModelFolder]:
    """Every saved model in `models`, of one class if given, the latest saved first."""
    if not models.is_dir():
        return []
    found = [
        ModelFolder(entry)
        for entry in models.iterdir()
        if (entry / STATE_FILE).is_file() and split_name(entry) is not None
    ]
    chosen = [f for f in found if class_name in (None, name_and_class(f)[1])]
    return sorted(chosen, key=lambda f: f.state_file.stat().st_mtime_ns, reverse=True)


def find_model(
    models: Path,
    *,
    name: str | None = None,
    class_name: str | None = None,
    only: Callable[[str], bool] = lambda _: True,
) -> ModelFolder:
    """The one saved model that matches; with nothing given, the only one there is.

    `name` is NAME, or NAME_CLASS as the folder is called, which takes precedence. Models whose
    class `only` rejects are ignored.

    Raises `InputError` when none or several match.
    """
    found = [f for f in list_models(models, class_name) if only(name_and_class(f)[1])]
    if name is not None:
        start, _, class_word = name.rpartition("_")
        by_folder = [
            f
            for f in found
            if name_and_class(f)[0] == start and name_and_class(f)[1].lower() == class_word.lower()
        ]
        found = by_folder or [f for f in found if name_and_class(f)[0] == name]
    if not found:
        wanted = " ".join(word for word in (class_name, "model", name and f"{name!r}") if word)
        raise InputError(f"no trained {wanted} in {models}; run `faceloom train` first")
    if len(found) > 1:
        names = ", ".join(sorted(f.path.name for f in found))
        raise InputError(f"{models} has several models ({names}); choose one with --name")
    return found[0]


def split_name(path: Path) -> tuple[str, str] | None:
    """(name, class) of a model folder's path, or None for another folder."""
    name, separator, class_name = path.name.rpartition("_")
    return (name, class_name) if separator and name and class_name in MODELS else None


def name_and_class(folder: ModelFolder) -> tuple[str, str]:
    """The name and class in a model folder's name; `ModelError` when it has none."""
    parts = split_name(folder.path)
    if parts is None:
        raise ModelError(f"{folder.path}: not a model's folder, which is called NAME_CLASS")
    return parts


@contextlib.contextmanager
def locked(folder: ModelFolder, *, wanted: bool = True) -> Generator[None]:
    """Lock a model for training; `ModelError` when another process trains it.

    Does nothing unless `wanted`: of several processes that train together, one locks it.

    The lock belongs to the operating system, so it ends with the process, however that ends. A
    folder in which nothing was saved is removed again.
    """
    if not wanted:
        yield
        return
    folder.path.mkdir(parents=True, exist_ok=True)
    file = folder.path / ".lock"
    with file_lock(file, wait=False) as held:
        if not held:
            raise ModelError(f"{folder.path}: another process is training this model")
        try:
            yield
        finally:
            if not folder.exists:
                with contextlib.suppress(OSError):
                    file.unlink()
                    folder.path.rmdir()


def sync_folder(folder: Path) -> None:
    """Make renames and new files in `folder` survive a power cut, where the system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
