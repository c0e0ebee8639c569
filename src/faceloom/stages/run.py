"""Run every stage that is not done yet, in order, from footage to signed result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceloom.checkpoints import ModelFolder, choose_device, list_models, read_state, split_name
from faceloom.core.errors import FaceloomError
from faceloom.core.events import Cancel, Progress
from faceloom.core.paths import atomic_write, list_images
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES, Side
from faceloom.faces import Faceset
from faceloom.provenance import require_rights
from faceloom.provenance.state import state_folder
from faceloom.stages import encode
from faceloom.stages.config import EncodeConfig, RunConfig, changes_by_stage
from faceloom.stages.extract import run as extract
from faceloom.stages.extract.journal import JOURNAL_NAME, read_done
from faceloom.stages.merge import run as merge
from faceloom.stages.merge.config import MergeConfig
from faceloom.stages.train import run as train
from faceloom.workspace import Workspace, stage_config

DEFAULT_ITERATIONS = 20_000
_MEMORY = "run.json"


@dataclass(frozen=True)
class RunResult(Result):
    """The result video, and what each stage reported; stages that were already done are left out
    unless they had to check."""

    result: Path
    steps: dict[str, dict[str, Any]]

    def lines(self) -> list[str]:
        """For people; the lines of each stage were shown when it finished."""
        return [f"result: {self.result}", f"next: faceloom inspect {self.result}"]


def run(config: RunConfig, *, progress: Progress, cancel: Cancel) -> RunResult:
    """Extract both sides, train to the target, merge and encode; finished work is not repeated.

    Raises what the stages raise, `RightsError` before any work if the rights record is missing,
    and `CancelledError` when asked to stop; another run resumes.
    """
    workspace = Workspace.open(config.workspace)
    plan = _plan(config, workspace)
    footage = {side: workspace.footage(side) for side in SIDES}
    require_rights(workspace.folder, footage, progress=progress, cancel=cancel)
    steps: dict[str, dict[str, Any]] = {}

    def record(step: str, result: Result) -> None:
        for line in result.lines():
            progress.note(line)
        steps[step] = result.as_dict()
        cancel.check()

    model = train.chosen_folder(workspace.model, plan.train)
    trained = _is_trained(model, plan.train)
    todo = [f"extract {side}" for side in SIDES if not _is_extracted(workspace, side)]
    todo += [] if trained else ["train"]
    progress.note(f"stages to run: {', '.join([*todo, 'merge', 'encode'])}")
    for side in SIDES:
        if _needs_extraction(workspace, side):
            wanted = plan.extract[side]
            record(f"extract {side}", extract.run(wanted, progress=progress, cancel=cancel))
        _require_faces(workspace, side)
    if not trained:
        record("train", train.run(plan.train, progress=progress, cancel=cancel))
    name, class_name = split_name(model.path) or (None, None)
    merging = plan.merge.model_copy(update={"name": name, "model": class_name})
    record("merge", merge.run(merging, progress=progress, cancel=cancel))
    memory = _LastEncode(workspace, plan.encode)
    if not memory.is_current():
        result = encode.run(plan.encode, progress=progress, cancel=cancel)
        memory.remember(result.output)
        record("encode", result)
    return RunResult(result=memory.output(), steps=steps)


@dataclass(frozen=True)
class _Plan:
    """The configuration of every stage, built first, so that a mistake shows at once."""

    extract: dict[Side, extract.ExtractConfig]
    train: train.TrainConfig
    merge: MergeConfig
    encode: EncodeConfig


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
                threads=config.threads,
            )
            for side in SIDES
        },
        train=training,
        # Pictures, from which another run can resume; a video could not be resumed.
        merge=stage_config(
            MergeConfig,
            "merge",
            changes["merge"],
            workspace=workspace.folder,
            device=config.device,
            threads=config.threads,
            to_video=False,
        ),
        encode=stage_config(
            EncodeConfig,
            "encode",
            changes["encode"],
            workspace=workspace.folder,
            threads=config.threads,
        ),
    )


def _needs_extraction(workspace: Workspace, side: Side) -> bool:
    """False for a faceset from elsewhere; our own has a journal, which knows what is missing."""
    folder = workspace.aligned(side)
    if (folder / JOURNAL_NAME).is_file():
        return True
    return not (folder.is_dir() and len(Faceset(folder)))


def _is_extracted(workspace: Workspace, side: Side) -> bool:
    done = read_done(workspace.aligned(side))
    return not _needs_extraction(workspace, side) if done is None else done.finished


def _is_trained(model: ModelFolder, config: train.TrainConfig) -> bool:
    """Whether the target is reached, decided without loading the facesets, which takes minutes."""
    if not model.exists:
        return False
    if not config.iterations:
        return train.unfinished_recipe(config) is None
    return read_state(model).iteration >= config.iterations


def _require_faces(workspace: Workspace, side: Side) -> None:
    if not len(Faceset(workspace.aligned(side))):
        raise FaceloomError(
            f"{workspace.aligned(side)}: no faces found in the {side} footage; check it with "
            f"`faceloom extract {side} --restart --debug`, or use other footage"
        )


def _train_config(
    config: RunConfig, workspace: Workspace, changes: Iterable[str]
) -> train.TrainConfig:
    values: dict[str, Any] = {"model": config.model, "name": config.name}
    saved = list_models(workspace.model, config.model)
    if len(saved) == 1 and config.name is None:
        values["name"], values["model"] = split_name(saved[0].path) or (None, config.model)
    values |= {"iterations": config.iterations}
    values |= {"device": config.device, "threads": config.threads}
    chosen = stage_config(train.TrainConfig, "train", changes, workspace=workspace.folder, **values)
    if chosen.iterations is not None:
        return chosen
    return chosen.model_copy(update={"iterations": _target(chosen)})


def _target(config: train.TrainConfig) -> int:
    """The target of the model, or the default, since `run` must end; 0 for a recipe, which has an
    end of its own."""
    if train.unfinished_recipe(config) is not None:
        return 0
    return train.settings_of(config)[1].target_iter or DEFAULT_ITERATIONS


class _LastEncode:
    """What the last encode was made from, so that the same video is not encoded twice."""

    def __init__(self, workspace: Workspace, config: EncodeConfig) -> None:
        self._file = state_folder(workspace.folder) / _MEMORY
        frames = {
            folder.name: [_stamp(file) for file in list_images(folder)]
            for folder in (workspace.merged, workspace.merged_mask)
            if folder.is_dir()
        }
        made_of = json.dumps([config.model_dump(mode="json", exclude={"threads"}), frames])
        self._key = hashlib.sha256(made_of.encode("utf-8", "surrogatepass")).hexdigest()

    def is_current(self) -> bool:
        """Whether the result exists unchanged and was made from these frames and settings."""
        known = self._read()
        try:
            return known["key"] == self._key and known["stamp"] == _stamp(Path(known["output"]))
        except (KeyError, OSError, TypeError):
            return False

    def remember(self, output: Path) -> None:
        """Store that `output` was just encoded."""
        content = {"key": self._key, "output": str(output.absolute()), "stamp": _stamp(output)}
        atomic_write(self._file, json.dumps(content))

    def output(self) -> Path:
        """The stored result."""
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
