"""Every stage by name: its configuration, its `run`, and the line that describes it.

The command line, the Python API, `faceloom settings` and the reference pages of the docs all read
this list, so a new stage appears everywhere by being declared here. Importing it loads no stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol, cast

from faceloom.core.config import Settings
from faceloom.core.events import Cancel, Progress
from faceloom.core.result import Result

_ROOT: Final = "faceloom.stages."


class Run(Protocol):
    """The contract of a stage's `run`."""

    def __call__(self, config: Any, *, progress: Progress, cancel: Cancel) -> Result: ...


@dataclass(frozen=True)
class Stage:
    """Where a stage is found, and what it is called."""

    name: str
    """The words of its command: `extract`, `faceset pack`."""
    config: str
    """`module:Class` below `faceloom.stages`; the module must be light."""
    run: str
    """`module:function` below `faceloom.stages`."""
    summary: str
    """One line for the list of commands; a command's own help is its configuration's docstring."""
    table: str | None = None
    """The table of `faceloom.toml` that holds its settings; None: none does."""

    def settings(self) -> type[Settings]:
        """The configuration's class; loads its module."""
        return cast("type[Settings]", _load(self.config))

    def function(self) -> Run:
        """The stage's `run`; loads all that the stage needs."""
        return cast("Run", _load(self.run))


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(_ROOT + module), name)


_START: Final = (
    # new, run, demo, frames
)

_EXTRACT: Final = (
    Stage(
        "extract",
        "extract.config:ExtractConfig",
        "extract.run:run",
        "Find, align and store the faces of src or dst.",
        table="extract",
    ),
)

_FACESET: Final = (
    # faceset list, rename, undo, masks, debug, pack …
)

_CURATE: Final = (
    # sort, dedupe, cluster, coverage
)

_TRAIN: Final = (
    Stage(
        "train",
        "train.config:TrainConfig",
        "train.run:run",
        "Train a model on the two facesets.",
        table="train",
    ),
    Stage(
        "plan",
        "train.config:PlanConfig",
        "train.plan:run",
        "Estimate the memory and time of a training before it starts.",
        table="train",
    ),
)

_MERGE: Final = (
    # merge, encode
)

_MODEL: Final = (
    # model list, summary, rename …, export dfm, export xseg
)

_OTHER: Final = (
    # inspect, doctor, weights list …
)

STAGES: Final[tuple[Stage, ...]] = (
    *_START,
    *_EXTRACT,
    *_FACESET,
    *_CURATE,
    *_TRAIN,
    *_MERGE,
    *_MODEL,
    *_OTHER,
)


def find_stage(name: str) -> Stage | None:
    """The stage whose command is `name`, such as `extract` or `faceset pack`."""
    return next((one for one in STAGES if one.name == name), None)


def stages_of(group: str) -> tuple[Stage, ...]:
    """The stages of a group of commands, such as `faceset`."""
    return tuple(one for one in STAGES if one.name.startswith(f"{group} "))
