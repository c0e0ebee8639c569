"""The demo: animate two public-domain portraits and put one face on the other."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from faceloom.checkpoints import ModelFolder, model_folder, read_state
from faceloom.core import Cancel, Progress, atomic_write
from faceloom.core.pool import worker_count
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES, Side
from faceloom.core.words import counted
from faceloom.provenance import read_rights, require_rights, sign_file
from faceloom.stages import new
from faceloom.stages import run as whole_run
from faceloom.stages.demo.clips import ROLES, clip_path, make_clip
from faceloom.stages.demo.config import DemoConfig
from faceloom.stages.demo.score import (
    LandmarkError,
    Likeness,
    landmark_error,
    likeness,
)
from faceloom.stages.demo.show import write_contact_sheet, write_side_by_side
from faceloom.stages.extract import run as extract
from faceloom.stages.train import run as train
from faceloom.training.previews.timelapse import write_timelapse
from faceloom.workspace.layout import Workspace, create_workspace, stage_config
from faceloom.workspace.result_video import unsigned_path

MODEL_NAME = "demo"
MODEL_CLASS = "SAEHD"
MODEL: Mapping[str, Any] = MappingProxyType(
    {
        "resolution": 96,
        "face_type": "full_face",
        "archi": "df-ud",
        "ae_dims": 128,
        "e_dims": 32,
        "d_dims": 32,
        "d_mask_dims": 16,
        "batch_size": 4,
        "learning_rate": 3e-4,
        "clipgrad": True,
        "random_dst_flip": False,
    }
)
"""Trains in minutes on two CPU cores. The learning rate is high because time is short; gradients
are clipped because training can collapse at such a rate."""
WARPED_SHARE = 0.6
"""Share of the training with warped inputs; the rest sharpens the result."""
STAGE_SETTINGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"extract": {"image_size": 256}, "merge": {"blur": 32, "color_statistics": "inside"}}
)
"""Written to `faceloom.toml` in the workspace, so that every later command uses it, too."""
PREVIEWS = 60


@dataclass(frozen=True)
class DemoResult(Result):
    """The files that the demo made, and its scores."""

    result: Path
    side_by_side: Path
    contact_sheet: Path
    timelapse: Path
    iterations: int
    likeness: Likeness
    landmarks: dict[Side, LandmarkError]
    seconds: dict[str, float]
    """Duration of each step of this run."""

    def lines(self) -> list[str]:
        """For people."""
        like = self.likeness
        who = " on ".join(ROLES[side].plan.title.split(",")[0] for side in SIDES)
        errors = ", ".join(
            f"{side} {error.mean_percent:.2f} % (95th percentile {error.p95_percent:.2f} %,"
            f" {counted(error.missed, 'frame')} missed)"
            for side, error in self.landmarks.items()
        )
        spent = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in self.seconds.items())
        return [
            f"{self.result}: {who}, after {self.iterations} training steps, signed",
            f"likeness (SFace cosine, mean of {counted(like.faces, 'face')}): {like.to_src:.2f} "
            f"to src, {like.to_dst:.2f} to dst; {like.nearer_src:.0%} are closer to src; src to "
            f"dst {like.src_to_dst:.2f}",
            f"landmark error in % of the face size: {errors}",
            f"time: {sum(self.seconds.values()):.0f} s ({spent})",
            f"also see: {self.side_by_side}, {self.contact_sheet}, {self.timelapse}",
            f"next: faceloom inspect {self.result}",
        ]


class TimedCancel(Cancel):
    """Wraps a `Cancel` and also ends loops after some seconds, which is not an error."""

    def __init__(self, outer: Cancel, seconds: float) -> None:
        super().__init__()
        self._outer = outer
        self._until = time.monotonic() + seconds

    @property
    def is_set(self) -> bool:
        return self._outer.is_set or time.monotonic() >= self._until

    def check(self) -> None:
        self._outer.check()


class _Stopwatch:
    """Measures the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, step: str) -> Generator[None]:
        began = time.monotonic()
        yield
        self.seconds[step] = time.monotonic() - began


def run(config: DemoConfig, *, progress: Progress, cancel: Cancel) -> DemoResult:
    """Animate the clips, extract, train, merge, encode and measure; a stopped run resumes.

    Raises `WeightsError` if the portraits or networks cannot be downloaded, `CancelledError` on
    `cancel`, and what the stages raise.
    """
    workspace = create_workspace(config.workspace)
    folder = workspace.folder
    progress.note(
        f"demo in {folder}: two clips of {counted(config.frames, 'frame')}, then up to "
        f"{config.iterations} training steps or {config.train_minutes:g} minutes of training"
    )
    for stage, settings in STAGE_SETTINGS.items():
        if not workspace.settings(stage):
            workspace.update(stage, settings)
    timed, threads = _Stopwatch(), worker_count(config.threads)
    with timed("clips"):
        for side in SIDES:
            make_clip(folder, side, config.frames, threads, progress=progress, cancel=cancel)
    _state_rights(workspace, progress, cancel)
    with timed("extract"):
        for side in SIDES:
            wanted = stage_config(extract.ExtractConfig, "extract", workspace=folder, side=side)
            extract.run(wanted, progress=progress, cancel=cancel)
    with timed("train"):
        model = _train(config, workspace, progress, cancel)
    iteration = read_state(model).iteration
    with timed("merge and encode"):
        result = _finish(config, iteration, progress, cancel)
    with timed("pictures"):
        side_by_side, sheet, timelapse = _show(workspace, model, result, progress, cancel)
    with timed("compare"):
        scores = likeness(workspace, result, progress=progress, cancel=cancel)
        errors: dict[Side, LandmarkError] = {
            side: landmark_error(workspace, side) for side in SIDES
        }
    made = DemoResult(
        result=result,
        side_by_side=side_by_side,
        contact_sheet=sheet,
        timelapse=timelapse,
        iterations=iteration,
        likeness=scores,
        landmarks=errors,
        seconds=timed.seconds,
    )
    atomic_write(folder / "demo.json", json.dumps(made.as_dict(), indent=1) + "\n")
    return made


def _state_rights(workspace: Workspace, progress: Progress, cancel: Cancel) -> None:
    """Both portraits are in the public domain; an existing record is kept."""
    if read_rights(workspace.folder) is not None:
        return
    wanted = new.NewConfig(
        workspace=workspace.folder,
        src=clip_path(workspace.folder, "src"),
        dst=clip_path(workspace.folder, "dst"),
        src_rights="public-domain",
        dst_rights="public-domain",
        src_name=ROLES["src"].plan.title,
        dst_name=ROLES["dst"].plan.title,
        note="works of the US government, animated by Faceloom's demo",
        stated_by="faceloom demo",
    )
    new.run(wanted, progress=progress, cancel=cancel)


def _train(
    config: DemoConfig, workspace: Workspace, progress: Progress, cancel: Cancel
) -> ModelFolder:
    """Two phases, each up to its step or its share of the time, including earlier runs."""
    folder = model_folder(workspace.model, MODEL_NAME, MODEL_CLASS)
    warped = max(round(config.iterations * WARPED_SHARE), 1)
    for until, share, warp in ((warped, WARPED_SHARE, True), (config.iterations, 1.0, False)):
        state = read_state(folder) if folder.exists else None
        spent, done = (state.trained_s, state.iteration) if state else (0.0, 0)
        left = config.train_minutes * 60 * share - spent
        if done >= until or (state is not None and left <= 0):
            continue
        wanted = train.TrainConfig(
            workspace=workspace.folder,
            model=MODEL_CLASS,
            name=MODEL_NAME,
            iterations=until,
            settings={**MODEL, "random_warp": warp},
            device=config.device,
            threads=config.threads,
            preview_every=max(config.iterations // PREVIEWS, 1),
            save_every_s=60,
        )
        result = train.run(wanted, progress=progress, cancel=TimedCancel(cancel, left))
        cancel.check()
        for line in result.lines():
            progress.note(line)
    return folder


def _finish(config: DemoConfig, iteration: int, progress: Progress, cancel: Cancel) -> Path:
    """Merge and encode with the current model; return the result."""
    rest = whole_run.RunConfig(
        workspace=config.workspace,
        model=MODEL_CLASS,
        name=MODEL_NAME,
        iterations=iteration,
        device=config.device,
    )
    made = whole_run.run(rest, progress=progress, cancel=cancel).result
    return config.workspace / made.name


def _show(
    workspace: Workspace, model: ModelFolder, result: Path, progress: Progress, cancel: Cancel
) -> tuple[Path, Path, Path]:
    """Side-by-side video, contact sheet and timelapse, signed like the result."""
    folder = workspace.folder
    src, dst = (clip_path(folder, side) for side in SIDES)
    clips = (dst, result, src)
    makers: dict[Path, Callable[[Path], Any]] = {
        folder / "side_by_side.mp4": lambda path: write_side_by_side(
            path, clips, progress=progress, cancel=cancel
        ),
        folder / "contact_sheet.png": lambda path: write_contact_sheet(path, clips),
        folder / "timelapse.mp4": lambda path: write_timelapse(model.previews, path),
    }
    footage = {side: workspace.footage(side) for side in SIDES}
    digest = require_rights(folder, footage, progress=progress, cancel=cancel)
    for target, make in makers.items():
        if target.exists() and target.stat().st_mtime_ns > result.stat().st_mtime_ns:
            continue
        with unsigned_path(target) as unsigned:
            make(unsigned)
            sign_file(
                unsigned,
                workspace_dir=folder,
                rights_digest=digest,
                parent=footage["dst"],
                destination=target,
            )
    side_by_side, sheet, timelapse = makers
    return side_by_side, sheet, timelapse
