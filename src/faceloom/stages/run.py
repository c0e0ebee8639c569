"""Every stage that is not yet done, in order: footage to signed result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from faceloom.checkpoints import ModelFolder, choose_device, list_models, read_state, split_name
from faceloom.core.config import Settings
from faceloom.core.errors import FaceloomError, UsageError
from faceloom.core.events import Cancel, Progress
from faceloom.core.paths import atomic_write, list_images
from faceloom.core.vocabulary import SIDES, Side
from faceloom.faces import Faceset
from faceloom.provenance import require_rights
from faceloom.provenance.state import state_folder
from faceloom.stages import encode
from faceloom.stages.extract import run as extract
from faceloom.stages.extract.journal import JOURNAL_NAME
from faceloom.stages.merge import run as merge
from faceloom.stages.train import run as train
from faceloom.workspace.layout import Workspace, stage_config

DEFAULT_ITERATIONS = 20_000
STAGES = ("extract", "train", "merge", "encode")
_MEMORY = "run.json"


class RunConfig(Settings):
    """How far to train, and settings for the stages."""

    workspace: Path = Path()
    """The workspace."""
    model: str | None = None
    """Class of the model, SAEHD, AMP or Quick96; unset: the one that is there, or SAEHD."""
    name: str | None = None
    """Name of the model, when there are several."""
    iterations: int | None = Field(default=None, ge=1)
    """Train until this iteration; unset: [train] iterations in faceloom.toml, the model's own
    target, or 20000."""
    device: str | None = None
    """Where models run: auto, cpu, cuda, cuda:1 … or mps; unset: as [train] and [merge] say."""
    changes: tuple[str, ...] = ()
    """Settings of the stages as `stage.key=value`, such as train.resolution=96."""


class StageResult(Protocol):
    """What every stage returns."""

    def as_dict(self) -> dict[str, Any]: ...
    def lines(self) -> list[str]: ...


@dataclass(frozen=True)
class RunResult:
    """What each stage did; those that had nothing to do may be left out."""

    result: Path
    steps: dict[str, dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"result": self.result, "steps": self.steps}

    def lines(self) -> list[str]:
        """For people, who have seen each stage's own lines already."""
        return [f"result: {self.result}", f"look into it: faceloom inspect {self.result}"]


def run(config: RunConfig, *, progress: Progress, cancel: Cancel) -> RunResult:
    """Extract both sides, train to the target, merge and encode; done work is not done again.

    Raises whatever a stage raises, `RightsError` before any work when the record is missing, and
    `CancelledError` when asked to stop; a second run goes on there.
    """
    workspace = Workspace.open(config.workspace)
    plan = _plan(config, workspace)
    footage = {side: workspace.footage(side) for side in SIDES}
    require_rights(workspace.folder, footage, progress=progress, cancel=cancel)
    steps: dict[str, dict[str, Any]] = {}

    def record(step: str, result: StageResult) -> None:
        for line in result.lines():
            progress.note(line)
        steps[step] = result.as_dict()
        cancel.check()

    for side, wanted in plan.extract.items():
        if _needs_extraction(workspace, side):
            record(f"extract {side}", extract.run(wanted, progress=progress, cancel=cancel))
        _require_faces(workspace, side)
    model = train.chosen_folder(workspace.model, plan.train)
    if not _is_trained(model, plan.train):
        record("train", train.run(plan.train, progress=progress, cancel=cancel))
    name, class_name = split_name(model.path) or (None, None)
    merging = plan.merge.model_copy(update={"name": name, "model": class_name})
    record("merge", merge.run(merging, progress=progress, cancel=cancel))
    memory = _Memory(workspace, plan.encode)
    if not memory.holds():
        result = encode.run(plan.encode, progress=progress, cancel=cancel)
        memory.keep(result.output)
        record("encode", result)
    return RunResult(result=memory.output(), steps=steps)


@dataclass(frozen=True)
class _Plan:
    """Every stage's configuration, made before the first begins: a mistake shows at once."""

    extract: dict[Side, extract.ExtractConfig]
    train: train.TrainConfig
    merge: merge.MergeConfig
    encode: encode.EncodeConfig


def _plan(config: RunConfig, workspace: Workspace) -> _Plan:
    changes = changes_by_stage(config.changes)
    training = _train_config(config, workspace, changes["train"])
    choose_device(training.device)
    return _Plan(
        extract={
            side: stage_config(
                extract.ExtractConfig,
                "extract",
                changes["extract"],
                workspace=workspace.folder,
                side=side,
            )
            for side in SIDES
        },
        train=training,
        # Into pictures: those are what a second run can go on from.
        merge=stage_config(
            merge.MergeConfig,
            "merge",
            changes["merge"],
            workspace=workspace.folder,
            device=config.device,
            to_video=False,
        ),
        encode=stage_config(
            encode.EncodeConfig, "encode", changes["encode"], workspace=workspace.folder
        ),
    )


def changes_by_stage(changes: Iterable[str]) -> dict[str, list[str]]:
    """`stage.key=value` texts, sorted to their stages without the stage's name.

    Raises `UsageError` for a text of another form or with an unknown stage.
    """
    sorted_out: dict[str, list[str]] = {stage: [] for stage in STAGES}
    for text in changes:
        stage, dot, rest = text.partition(".")
        if not dot or stage not in sorted_out or "=" not in rest:
            known = ", ".join(STAGES)
            raise UsageError(f"--set {text!r}: expected stage.key=value; stages: {known}")
        sorted_out[stage].append(rest)
    return sorted_out


def _needs_extraction(workspace: Workspace, side: Side) -> bool:
    """False for a faceset that came from elsewhere; a journal tells how far ours has come."""
    folder = workspace.aligned(side)
    if (folder / JOURNAL_NAME).is_file():
        return True
    return not (folder.is_dir() and len(Faceset(folder)))


def _is_trained(model: ModelFolder, config: train.TrainConfig) -> bool:
    """Whether the target is reached: loading two facesets to find that out would take minutes."""
    if not model.exists:
        return False
    if not config.iterations:
        return train.unfinished_recipe(config) is None
    return read_state(model).iteration >= config.iterations


def _require_faces(workspace: Workspace, side: Side) -> None:
    if not len(Faceset(workspace.aligned(side))):
        raise FaceloomError(
            f"{workspace.aligned(side)}: no face was found in the {side} footage; look at it with "
            f"`faceloom extract {side} --debug`, or choose other footage"
        )


def _train_config(
    config: RunConfig, workspace: Workspace, changes: Iterable[str]
) -> train.TrainConfig:
    own = set(train.TrainConfig.model_fields)
    mine = [text for text in changes if text.partition("=")[0].strip() in own]
    values: dict[str, Any] = {"model": config.model, "name": config.name}
    saved = list_models(workspace.model, config.model)
    if len(saved) == 1 and config.name is None:
        values["name"], values["model"] = split_name(saved[0].path) or (None, config.model)
    values |= {"iterations": config.iterations, "device": config.device}
    values["changes"] = tuple(text for text in changes if text not in mine)
    chosen = stage_config(train.TrainConfig, "train", mine, workspace=workspace.folder, **values)
    if chosen.iterations is not None:
        return chosen
    return chosen.model_copy(update={"iterations": _target(chosen)})


def _target(config: train.TrainConfig) -> int:
    """The model's own target, or the default: `run` must come to an end. A recipe has its own
    end: 0."""
    if train.unfinished_recipe(config) is not None:
        return 0
    return train.settings_of(config)[1].target_iter or DEFAULT_ITERATIONS


class _Memory:
    """What the last encode was made from, so that the same is not encoded twice."""

    def __init__(self, workspace: Workspace, config: encode.EncodeConfig) -> None:
        self._file = state_folder(workspace.folder) / _MEMORY
        frames = {
            folder.name: [_stamp(file) for file in list_images(folder)]
            for folder in (workspace.merged, workspace.merged_mask)
            if folder.is_dir()
        }
        made_of = json.dumps([config.model_dump(mode="json"), frames])
        self._key = hashlib.sha256(made_of.encode("utf-8", "surrogatepass")).hexdigest()

    def holds(self) -> bool:
        """Whether the result is there as it was made, from the very same frames and settings."""
        known = self._read()
        try:
            return known["key"] == self._key and known["stamp"] == _stamp(Path(known["output"]))
        except (KeyError, OSError, TypeError):
            return False

    def keep(self, output: Path) -> None:
        """Remember that `output` was just made."""
        content = {"key": self._key, "output": str(output.absolute()), "stamp": _stamp(output)}
        atomic_write(self._file, json.dumps(content))

    def output(self) -> Path:
        """The result that is remembered."""
        return Path(str(self._read()["output"]))

    def _read(self) -> Mapping[str, Any]:
        try:
            content: Any = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _stamp(file: Path) -> list[Any]:
    status = file.stat()
    return [file.name, status.st_size, status.st_mtime_ns]
