"""The cache of network files: list it, download into it, add files to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceloom.core.events import Cancel, Progress
from faceloom.core.result import Result, plain
from faceloom.stages.config import WeightsAddConfig, WeightsFetchConfig, WeightsListConfig
from faceloom.weights import (
    WEIGHTS,
    State,
    add,
    add_owned,
    fetch,
    needed_weights,
    owned_status,
    status,
)


@dataclass(frozen=True)
class WeightRow:
    """A known file and whether the cache has it."""

    name: str
    file: str
    what: str
    size_bytes: int
    licence: str
    sha256: str
    needed: bool
    state: State
    path: Path


@dataclass(frozen=True)
class WeightsList(Result):
    """All known files: those that can be downloaded, then those that users add themselves."""

    known: tuple[WeightRow, ...]
    owned: tuple[WeightRow, ...]

    def json_lines(self) -> list[dict[str, Any]]:
        """One object per file."""
        return [plain(row) for row in (*self.known, *self.owned)]

    def lines(self) -> list[str]:
        """A table."""
        width = max(len(row.name) for row in self.known)
        rows = [(row, "needed" if row.needed else "", "") for row in self.known]
        rows += [(row, "own", f", {row.file}") for row in self.owned]
        return [
            f"{row.name:{width}}  {row.state:7}  {kind:6}  {row.size_bytes / 1e6:6.1f} MB  "
            f"{row.licence}: {row.what}{file}"
            for row, kind, file in rows
        ]


def run_list(config: WeightsListConfig, *, progress: Progress, cancel: Cancel) -> WeightsList:
    """List every known file with its state in the cache."""
    del config, progress, cancel
    known = tuple(
        WeightRow(
            name=one.weight.name,
            file=one.weight.file_name,
            what=one.weight.what,
            size_bytes=one.weight.size_bytes,
            licence=one.weight.licence,
            sha256=one.weight.sha256,
            needed=one.weight.needed,
            state=one.state,
            path=one.path,
        )
        for one in status()
    )
    owned = tuple(
        WeightRow(
            name=one.weight.name,
            file=one.file_name or f"your {' or '.join(one.weight.files)}",
            what=one.weight.what,
            size_bytes=one.size_bytes,
            licence=one.weight.licence,
            sha256=one.sha256,
            needed=False,
            state=one.state,
            path=one.path,
        )
        for one in owned_status()
    )
    return WeightsList(known, owned)


@dataclass(frozen=True)
class FetchedWeights(Result):
    """Where the files are."""

    paths: dict[str, Path]

    def lines(self) -> list[str]:
        """One line per file."""
        return [f"{name}: {path}" for name, path in self.paths.items()]


def run_fetch(config: WeightsFetchConfig, *, progress: Progress, cancel: Cancel) -> FetchedWeights:
    """Download what the cache lacks. Raises `WeightsError` if a file cannot be downloaded."""
    names = config.names or (list(WEIGHTS) if config.all else needed_weights())
    paths: dict[str, Path] = {}
    for name in names:
        cancel.check()
        paths[name] = fetch(name, progress=progress)
    return FetchedWeights(paths)


@dataclass(frozen=True)
class AddedWeight(Result):
    """A file that was added to the cache."""

    name: str
    file: str
    sha256: str

    def lines(self) -> list[str]:
        """For people."""
        return [f"added {self.file} as {self.name} (sha256 {self.sha256})"]


def run_add(config: WeightsAddConfig, *, progress: Progress, cancel: Cancel) -> AddedWeight:
    """Add a file to the cache: one with a known hash, or the user's own for a named network.

    Raises `WeightsError` if the file is unreadable or unknown, `FormatError` if it is not a file
    of that network.
    """
    del cancel
    if config.network is None:
        weight = add(Path(config.file))
        return AddedWeight(weight.name, weight.file_name, weight.sha256)
    from faceloom.detect.networks import fan, s3fd

    source = config.file if "://" in config.file else Path(config.file)
    check = s3fd.load_s3fd if config.network == "s3fd" else fan.load_fan
    added = add_owned(source, config.network, sha256=config.sha256, check=check, progress=progress)
    return AddedWeight(config.network, added.file_name, added.sha256)
