"""The people of a workspace: names, and their faces as identity vectors.

A person is a JSON file, `people/<name>.json`. Extraction can keep one person's faces only, and
groups of a faceset get their names from these files.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceloom.core import FormatError, InputError, atomic_write
from faceloom.faces.folders import COPIES, MOVED
from faceloom.identify.blank import BLANK_LIMIT, blankness
from faceloom.identify.sface import SAME_PERSON, mean_embedding

VERSION: Final = 1
SIZE: Final = 128
MAX_EXEMPLARS: Final = 32
_MAX_FILE: Final = 1 << 20
_MAX_PEOPLE: Final = 1000
_MAX_NAME: Final = 64
_MAX_TEXT: Final = 400
_NEAREST: Final = 3
_COVERED: Final = 0.95
_FORBIDDEN: Final = frozenset('/\\:*?"<>|,=')
_RESERVED: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{word}{n}" for word in ("com", "lpt") for n in range(1, 10))}
)
# What `cluster` calls faces of no known person, and endings of folders next to a faceset
# (`aligned_trash`), into which a group of that name would be moved.
_TAKEN: Final = re.compile(rf"unsure|(group_|{'|'.join((*COPIES, *MOVED))})\d*", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Person:
    """One person's face. Made by `person_from_embeddings`."""

    name: str
    """Also the file's name."""
    mean: NDArray[np.float32]
    """The mean vector, 128, unit length."""
    exemplars: NDArray[np.float32]
    """k x 128 unit vectors that differ from each other: known poses, lighting and ages."""
    count: int
    """How many faces this was made from."""
    made_from: str
    """Where those faces came from, in words."""
    threshold: float
    """Similarity from which a face counts as this person's."""

    def similarities(self, embeddings: ArrayLike) -> NDArray[np.float32]:
        """How similar each of n vectors, n x 128, is to this person: n float32, -1 to 1.

        The cosine with the mean, or the mean cosine with the three nearest exemplars, whichever is
        higher: a profile is similar to other profiles, but not to a mean of frontal faces. NaN
        where the vector is NaN.

        Compared with `threshold`, measured on 37 people in 15 clips and 29 photos, with eight or
        more references from another clip than the face: no face was missed, including profiles,
        and 1 in 10 000 faces of strangers was accepted. Of faces that were then blurred, covered or
        shrunk to 16 pixels, one in seven was missed.
        """
        vectors = np.asarray(embeddings, dtype=np.float32).reshape(-1, SIZE)
        to_mean = vectors @ self.mean
        count = min(_NEAREST, len(self.exemplars))
        nearest = np.partition(vectors @ self.exemplars.T, -count, axis=1)[:, -count:]
        return np.maximum(to_mean, nearest.mean(axis=1, dtype=np.float32))

    def similarity(self, embedding: ArrayLike) -> float:
        """The same for one vector."""
        return float(self.similarities(embedding)[0])


def default_threshold(count: int) -> float:
    """The threshold of a person made of `count` faces: 0.36 for one, 0.42 for eight and more.

    With these, 1 in 10 000 faces of strangers is accepted. The more exemplars there are, the closer
    one of them comes to a stranger, and the closer one of them is to every face of the person.
    """
    return SAME_PERSON + 0.02 * math.log2(min(max(count, 1), 8))


def person_from_embeddings(
    name: str, embeddings: ArrayLike, *, made_from: str = "", threshold: float | None = None
) -> Person:
    """The person whose faces have these unit vectors, n x 128.

    Vectors that are NaN, blank (see `blankness`) or far from the mean of the others are left out as
    long as any remain. Raises `InputError` when none is left or the name is not allowed.
    """
    check_name(name)
    vectors = np.asarray(embeddings, dtype=np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != SIZE:
        raise InputError(f"identity vectors must have the shape (n, {SIZE}), not {vectors.shape}")
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    if not len(vectors):
        raise InputError(f"no usable face of {name!r}")
    sharp = blankness(vectors) <= BLANK_LIMIT
    vectors = vectors[sharp] if sharp.any() else vectors
    limit = default_threshold(len(vectors)) if threshold is None else threshold
    typical = vectors @ mean_embedding(list(vectors)) >= limit
    vectors = vectors[typical] if typical.any() else vectors
    mean = mean_embedding(list(vectors))
    return Person(name, mean, _diverse(vectors, mean), len(vectors), made_from[:_MAX_TEXT], limit)


def _diverse(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """Up to 32 of the vectors: the most typical one, then always the farthest from the others."""
    chosen = [int(np.argmax(vectors @ mean))]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < MAX_EXEMPLARS:
        farthest = int(np.argmin(nearest))
        if nearest[farthest] > _COVERED:
            break
        chosen.append(farthest)
        nearest = np.maximum(nearest, vectors @ vectors[farthest])
    return np.ascontiguousarray(vectors[chosen])


def people_folder(workspace: Path) -> Path:
    """Where a workspace keeps its people."""
    return workspace / "people"


def check_name(name: str) -> str:
    """`name` if it is allowed for a person; otherwise `InputError`.

    It becomes a file name, and on the command line it is used in lists with commas and next to
    group numbers.
    """
    wrong = set(name) & _FORBIDDEN or any(sign < " " or sign == "\x7f" for sign in name)
    stem = name.split(".")[0].lower()
    if not name or name.isdecimal() or len(name) > _MAX_NAME or wrong or stem in _RESERVED:
        raise InputError(
            f"{name[:_MAX_NAME]!r} cannot be a person's name: use up to {_MAX_NAME} characters "
            "that are allowed in file names, no comma, no =, and not only digits"
        )
    if _TAKEN.fullmatch(name):
        raise InputError(f"{name!r} cannot be a person's name: it is the name of a faceset folder")
    if name != name.strip() or name[0] in ".-" or name[-1] == ".":
        raise InputError(
            f"{name!r} cannot be a person's name: it must not start with . or -, nor end with ."
        )
    return name


def save_person(folder: Path, person: Person) -> Path:
    """Write the person to `folder` atomically; return the file.

    Raises `InputError` when it cannot be written.
    """
    path = folder / f"{check_name(person.name)}.json"
    values = {
        "version": VERSION,
        "name": person.name,
        "count": person.count,
        "made_from": person.made_from,
        "threshold": person.threshold,
        "mean": _encode(person.mean),
        "exemplars": [_encode(vector) for vector in person.exemplars],
    }
    try:
        atomic_write(path, json.dumps(values, ensure_ascii=False, indent=1))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def load_person(path: Path) -> Person:
    """Read a person's file. Raises `InputError` if there is none, and `FormatError` if it is
    damaged, too large or of another version."""
    try:
        if path.stat().st_size > _MAX_FILE:
            raise FormatError(f"{path}: too large for a person's file")
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: no such person: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise FormatError(f"{path}: damaged, not a JSON file") from None
    try:
        return _person(values, path.stem)
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error) as error:
        why = str(error) or type(error).__name__
        raise FormatError(
            f"{path}: damaged ({why[:80]}); delete it and name the person again"
        ) from None
    except InputError as error:
        raise FormatError(f"{path}: {error}") from None


def load_people(folder: Path) -> dict[str, Person]:
    """Name → person for all files in `folder`, sorted; empty if there is no such folder.

    Raises as `load_person`.
    """
    if not folder.is_dir():
        return {}
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    if len(paths) > _MAX_PEOPLE:
        raise FormatError(f"{folder}: more than {_MAX_PEOPLE} people")
    return {path.stem: load_person(path) for path in paths}


def forget_person(folder: Path, name: str) -> None:
    """Delete a person's file; `InputError` when there is none."""
    path = folder / f"{check_name(name)}.json"
    try:
        path.unlink()
    except OSError:
        known = ", ".join(load_people(folder)) or "none"
        raise InputError(f"{folder}: no person {name!r}; known people: {known}") from None


def _person(values: Any, name: str) -> Person:
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise ValueError("another version")
    exemplars, count, threshold = values["exemplars"], values["count"], values["threshold"]
    made_from = values.get("made_from", "")
    if not isinstance(exemplars, list) or not 1 <= len(exemplars) <= MAX_EXEMPLARS:
        raise ValueError("invalid exemplars")
    if type(count) is not int or not 1 <= count < 1 << 40:
        raise ValueError("invalid count")
    if type(threshold) not in (int, float) or not -1 <= threshold <= 1:
        raise ValueError("invalid threshold")
    if not isinstance(made_from, str) or len(made_from) > _MAX_TEXT:
        raise ValueError("invalid made_from")
    return Person(
        name=check_name(name),
        mean=_decode(values["mean"]),
        exemplars=np.stack([_decode(text) for text in exemplars]),
        count=count,
        made_from=made_from,
        threshold=float(threshold),
    )


def _encode(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()


def _decode(text: Any) -> NDArray[np.float32]:
    if not isinstance(text, str):
        raise TypeError("an identity vector is not text")
    vector = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if vector.shape != (SIZE,) or not abs(float(np.linalg.norm(vector)) - 1) < 1e-3:
        raise ValueError("an identity vector of the wrong size or length")
    return vector
