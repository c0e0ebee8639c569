"""The folder of one model: where its files are, what it is called, who trains it.

model/<name>_<CLASS>/
  state.json            what counts: class, settings, iteration, and which state folder
  state-00012000-a1b2/  the weights and optimizer state of that iteration (safetensors)
  history.f32           the losses of every iteration (little-endian float32, a column each)
  events.jsonl          what happened: sessions, stages, resets, collapses, roll-backs
  previews/             last.jpg, masked.jpg, the history below, index.html
  candidate/, proven/   older states to go back to after a collapse (links)
  backups/, snapshots/  older states, kept on purpose
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
    """The paths of a model. Making one of these touches no file."""

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
        """Whether a state was ever saved here."""
        return self.state_file.is_file()


def model_folder(models: Path, name: str, class_name: str) -> ModelFolder:
    """The folder of the model `name` of a class, there or not; `InputError` for an unfit name."""
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
    chosen = [f for f in found if class_name in (None, (split_name(f.path) or ("", ""))[1])]
    return sorted(chosen, key=lambda f: f.state_file.stat().st_mtime_ns, reverse=True)


def find_model(
    models: Path,
    *,
    name: str | None = None,
    class_name: str | None = None,
    only: Callable[[str], bool] = lambda _: True,
) -> ModelFolder:
    """The one saved model that fits; with nothing given, the only one there is.

    Models of classes that `only` refuses are passed over.

    Raises `InputError` when none or several fit.
    """
    found = [f for f in list_models(models, class_name) if only(f.path.name.rpartition("_")[2])]
    if name is not None:
        found = [f for f in found if (split_name(f.path) or ("", ""))[0] == name]
    if not found:
        wanted = " ".join(word for word in (class_name, "model", name and f"{name!r}") if word)
        raise InputError(f"{models}: no trained {wanted} here; run `faceloom train` first")
    if len(found) > 1:
        names = ", ".join(sorted(f.path.name for f in found))
        raise InputError(f"{models}: several models ({names}); choose one by --name")
    return found[0]


def split_name(path: Path) -> tuple[str, str] | None:
    """(name, class) of a model folder's path, or None when it is not named like one."""
    name, separator, class_name = path.name.rpartition("_")
    return (name, class_name) if separator and name and class_name in MODELS else None


@contextlib.contextmanager
def locked(folder: ModelFolder, *, wanted: bool = True) -> Generator[None]:
    """Hold a model for training; `ModelError` when another process trains it.

    Does nothing unless `wanted`: of several processes that train together, one holds it.

    The lock is the operating system's, so it ends with the process, however that ends. A folder
    in which nothing was saved is removed again.
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
    """Make renames and new names in `folder` last a power cut, where the system can."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
