"""The cache of network files: download, check by hash, or add by hand."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faceloom.core import NullProgress, Progress, WeightsError, atomic_path, cache_dir
from faceloom.weights.registry import WEIGHTS, Url, Weight
from faceloom.weights.sources import SourceError, bring

_log = logging.getLogger(__name__)

State = Literal["present", "missing", "altered"]


@dataclass(frozen=True, slots=True)
class WeightStatus:
    """A known file and whether the cache has it."""

    weight: Weight
    path: Path
    state: State


def weight_path(weight: Weight) -> Path:
    """The path of `weight` in the cache, whether it exists or not."""
    return cache_dir() / "weights" / weight.file_name


def status() -> list[WeightStatus]:
    """Every known file with its state in the cache, in the order of the registry."""
    return [_status(weight) for weight in WEIGHTS.values()]


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """Return the path of the file called `name`, downloading it into the cache if necessary.

    The hash is checked on every call. Raises `WeightsError` if the name is unknown or no source has
    the file; the message then gives the file, its hash and how to add it by hand.
    """
    weight = _known(name)
    progress = progress or NullProgress()
    found = _status(weight)
    if found.state == "present":
        return found.path
    if found.state == "altered":
        progress.note(f"{found.path}: altered; downloading it again")
    progress.note(
        f"downloading {weight.file_name} ({weight.what}): {_megabytes(weight.size_bytes)}, "
        f"licence {weight.licence}"
    )
    _bring_into_cache(weight, found.path, progress)
    return found.path


def needed_weights() -> list[str]:
    """Names of the files that the stages use."""
    return [weight.name for weight in WEIGHTS.values() if weight.needed]


def add(file: Path) -> Weight:
    """Copy a file of the user into the cache; its hash identifies it.

    Raises `WeightsError` if the file is unreadable or unknown.
    """
    try:
        digest = _sha256(file)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error.strerror}") from None
    for weight in WEIGHTS.values():
        if weight.sha256 == digest:
            with atomic_path(weight_path(weight)) as temporary:
                temporary.write_bytes(file.read_bytes())
            return weight
    raise WeightsError(
        f"{file}: unknown file (sha256 {digest}); to use your own file for a network, add it with "
        "--as; `faceloom weights list` shows these networks"
    )


def _known(name: str) -> Weight:
    try:
        return WEIGHTS[name]
    except KeyError:
        raise WeightsError(f"unknown weights {name!r}; known: {', '.join(WEIGHTS)}") from None


def _status(weight: Weight) -> WeightStatus:
    path = weight_path(weight)
    if not path.is_file():
        return WeightStatus(weight, path, "missing")
    same = path.stat().st_size == weight.size_bytes and _sha256(path) == weight.sha256
    return WeightStatus(weight, path, "present" if same else "altered")


def _bring_into_cache(weight: Weight, target: Path, progress: Progress) -> None:
    """Try the sources in order until one has the file with the right hash."""
    reasons: list[str] = []
    for source in weight.sources:
        with tempfile.TemporaryDirectory(prefix="faceloom-weights-") as folder:
            try:
                data = bring(source, weight.size_bytes, Path(folder), progress)
            except SourceError as error:
                reasons.append(f"{source}: {error}")
                continue
        if hashlib.sha256(data).hexdigest() == weight.sha256:
            with atomic_path(target) as temporary:
                temporary.write_bytes(data)
            return
        reasons.append(f"{source}: another file (wrong SHA-256)")
    for reason in reasons:
        _log.info("%s: %s", weight.file_name, reason)
    raise WeightsError(_unavailable(weight))


def _unavailable(weight: Weight) -> str:
    origin = next((s.url for s in weight.sources if isinstance(s, Url)), str(weight.sources[0]))
    return (
        f"{weight.file_name} ({weight.name}, sha256 {weight.sha256}) could not be downloaded from "
        f"any of its {len(weight.sources)} sources: check the network and try again (-v shows the "
        f"reasons), or get the file from {origin} and run `faceloom weights add "
        f"{weight.file_name}`"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
