"""The folder where new pictures of a faceset gather, and what is known of those that are in it.

A stopped run goes on with what it made before. That a new picture belongs to a face goes by the
content of the face's file, not by its name: between two runs the faceset may have been sorted, and
`00000.jpg` be another face.
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any, Final, cast

from faceloom.core import FaceloomError, InputError, Progress, atomic_write
from faceloom.core.paths import list_images, sweep_temporary
from faceloom.faces.files.face_file import read_bytes, write_bytes
from faceloom.stages.faceset.files import make_folder

JOB_NAME: Final = ".faceloom-job.json"
MADE_NAME: Final = ".faceloom-made.jsonl"


class Staging:
    """New pictures, each under the name of its face. Thread-safe.

    With `set_aside`, pictures that were made with other settings, or that an undo has put there,
    move to a folder beside (`aligned_resized~2`), and a note tells. Otherwise they raise
    `InputError`.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], *, set_aside: bool, progress: Progress
    ) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        text = json.dumps(settings, sort_keys=True)
        if folder.is_dir() and list_images(folder) and _job_of(folder) != text:
            if not set_aside:
                raise InputError(
                    f"{folder}: holds pictures of other settings or of another program; move them "
                    "away, or give the settings that they were made with"
                )
            other = _free_beside(folder)
            folder.rename(other)
            progress.note(f"{folder.name} held other pictures; they are in {other} now")
        make_folder(folder)
        sweep_temporary(folder)
        if _job_of(folder) != text:
            (folder / MADE_NAME).unlink(missing_ok=True)
            atomic_write(folder / JOB_NAME, text)
        self._made, self._written = _read_made(folder / MADE_NAME)

    def knows(self, name: str) -> bool:
        """Whether a new picture of that name was made, of whichever face."""
        return name in self._made

    def has(self, name: str, source: str) -> bool:
        """Whether the new picture of the face `name` is there, made of the file `source`."""
        if self._made.get(name) != source or not (self.folder / name).is_file():
            return False
        return self._key_of(self.folder / name) in self._written.get(name, ())

    def add(self, name: str, source: str, data: bytes) -> None:
        """Keep the new picture of the face `name`, whose file was `source` (`content_key`).

        Raises `InputError` where another picture is there that was not made here: somebody put or
        renamed it.
        """
        target = self.folder / name
        if target.exists() and self._key_of(target) not in self._written.get(name, ()):
            raise InputError(f"{target}: is there already, and was not made here; it stays")
        # The note first: a picture without one would be somebody else's.
        made = content_key(data)
        line = json.dumps({"face": name, "source": source, "made": made})
        with self._lock, (self.folder / MADE_NAME).open("a", encoding="utf-8") as stream:
            stream.write(f"\n{line}\n")  # apart from what a kill may have cut
            self._made[name] = source
            self._written.setdefault(name, set()).add(made)
        write_bytes(target, data, durable=False)

    def _key_of(self, path: Path) -> str | None:
        try:
            return content_key(read_bytes(path))
        except FaceloomError:
            return None

    def close(self) -> None:
        """Forget what was made, and remove the folder, where it has no picture any more."""
        if not list_images(self.folder):
            (self.folder / JOB_NAME).unlink(missing_ok=True)
            (self.folder / MADE_NAME).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def content_key(data: bytes) -> str:
    """What tells a file's content from any other."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _job_of(folder: Path) -> str | None:
    note = folder / JOB_NAME
    return note.read_text("utf-8", "replace") if note.is_file() else None


def _free_beside(folder: Path) -> Path:
    number = 2
    while (other := folder.with_name(f"{folder.name}~{number}")).exists():
        number += 1
    return other


def _read_made(path: Path) -> tuple[dict[str, str], dict[str, set[str]]]:
    """By face the key of its last source, and those of all that was made; a line that a kill has
    cut is left out."""
    made: dict[str, str] = {}
    written: dict[str, set[str]] = {}
    if not path.is_file():
        return made, written
    for line in path.read_bytes().splitlines():
        try:
            values: object = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict):
            entry = cast("dict[str, object]", values)
            made[str(entry.get("face"))] = str(entry.get("source"))
            written.setdefault(str(entry.get("face")), set()).add(str(entry.get("made")))
    return made, written
