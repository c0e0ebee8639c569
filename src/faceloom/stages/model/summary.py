"""Everything about a model: settings, losses, sizes, what happened to it."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from faceloom.checkpoints import (
    EMA_FILE,
    ModelFolder,
    ModelState,
    find_model,
    list_backups,
    list_snapshots,
    load_history,
    read_events,
    read_state,
    saved_settings,
    snapshots_folder,
    split_name,
)
from faceloom.core import Cancel, FaceloomError, ModelError, Progress
from faceloom.core.result import Result
from faceloom.models import MODELS
from faceloom.stages.model.config import ModelSummaryConfig
from faceloom.training.recipes import load_recipe
from faceloom.workspace import Workspace

_LARGEST_WINDOW: Final = 1000
_ATTEMPTS: Final = 5
_EVENTS: Final = 10
# Characters of a value in the table before it continues on the next line.
_WIDEST: Final = 76


@dataclass(frozen=True)
class LossSummary:
    """One column of the losses."""

    mean: float | None
    """Over the last `window` iterations; None when none of their losses is known."""
    change: float | None
    """Relative to the mean of as many iterations before: −0.1 is a tenth less."""
    window: int


@dataclass(frozen=True)
class DiskUse:
    """Bytes in the model's folder. A file that several states share counts once, for the current
    state if it is one of them."""

    state: int
    kept: int
    """Only in backups and snapshots."""
    previews: int

    @property
    def total(self) -> int:
        return self.state + self.kept + self.previews


@dataclass(frozen=True)
class ModelSummary(Result):
    """Everything about a model."""

    name: str
    class_name: str
    path: Path
    iteration: int
    settings: dict[str, Any]
    overridden: dict[str, Any]
    """Values in force instead of settings that pretraining overrides."""
    losses: dict[str, LossSummary]
    trained_s: float
    saved_at: str
    device: str
    precision: str
    seed: int
    parameters: dict[str, int]
    """Weights in each network."""
    disk: DiskUse
    facesets: dict[str, int]
    """Faces of each side in the last session."""
    recipe: dict[str, Any] | None
    """Its place in a recipe: name, stage (counted from 1), stages, stage_name."""
    risk: dict[str, Any] | None
    """What training lowered after collapses; None without any."""
    backups: list[int | None]
    """Their iterations, the oldest first; None for a damaged one."""
    snapshots: dict[str, int | None]
    """Their names and iterations."""
    events: list[dict[str, Any]]
    """The latest ones."""

    def as_dict(self) -> dict[str, Any]:
        """The fields, and the total size on disk."""
        return {**super().as_dict(), "disk": {**asdict(self.disk), "total": self.disk.total}}

    def lines(self) -> list[str]:
        """A table like DeepFaceLab's `summary.txt`, followed by the latest events."""
        sections: list[tuple[str, list[tuple[str, str]]]] = [
            ("Model Summary", self._identity()),
            ("Model Options", [(key, self._option(key)) for key in self.settings]),
            ("Networks", self._networks()),
            ("Training", self._training()),
            ("Running On", self._running()),
            ("On Disk", self._disk()),
        ]
        return [*_table(sections), *(_event_line(event) for event in self.events)]

    def _identity(self) -> list[tuple[str, str]]:
        rows = [
            ("Model name", f"{self.name}_{self.class_name}"),
            ("Current iteration", str(self.iteration)),
        ]
        if self.recipe:
            stage = f"{self.recipe['stage']} of {self.recipe['stages'] or '?'}"
            named = f" ({self.recipe['stage_name']})" if self.recipe["stage_name"] else ""
            rows.append(("Recipe", f"{self.recipe['recipe']}, stage {stage}{named}"))
        return rows

    def _option(self, key: str) -> str:
        value = _plain(self.settings[key])
        if key in self.overridden:
            return f"{_plain(self.overridden[key])} (pretraining; otherwise {value})"
        return value

    def _networks(self) -> list[tuple[str, str]]:
        rows = [(name, f"{count:,} weights") for name, count in self.parameters.items()]
        return [*rows, ("total", f"{sum(self.parameters.values()):,} weights")]

    def _training(self) -> list[tuple[str, str]]:
        rows = [(f"loss {name}", _loss(loss)) for name, loss in self.losses.items()]
        rows += [
            ("trained for", duration_text(self.trained_s)),
            ("saved at", self.saved_at or "unknown"),
        ]
        rows += [(f"faces of {side}", f"{count:,}") for side, count in self.facesets.items()]
        if self.risk:
            clip = ", gradients clipped" if self.risk.get("clipgrad") else ""
            rows += [
                ("rollbacks", str(self.risk.get("rollbacks", 0))),
                ("risk lowered to", f"learning rate × {self.risk.get('lr_factor', 1):g}{clip}"),
            ]
        return rows

    def _running(self) -> list[tuple[str, str]]:
        return [("Device", self.device or "unknown"), ("Precision", self.precision or "unknown")]

    def _disk(self) -> list[tuple[str, str]]:
        names = ", ".join(f"{name} ({at})" for name, at in self.snapshots.items())
        return [
            ("model", size_text(self.disk.state)),
            ("backups and snapshots", size_text(self.disk.kept)),
            ("previews", size_text(self.disk.previews)),
            ("backups", str(len(self.backups))),
            ("snapshots", names or "0"),
        ]


def summary(config: ModelSummaryConfig, *, progress: Progress, cancel: Cancel) -> ModelSummary:
    """Summarize a saved model, which may be in training. Loads no weights.

    Raises `ModelError` when it is damaged.
    """
    del progress, cancel
    models = Workspace.open(config.workspace).model
    return summarize(find_model(models, name=config.name, class_name=config.class_name))


def summarize(folder: ModelFolder) -> ModelSummary:
    """Summarize the model in a folder.

    Raises `ModelError` when it is damaged.
    """
    state, parameters = _counted(folder)
    settings = saved_settings(state, where=folder.state_file)
    plain = settings.model_dump(mode="json")
    in_force = getattr(settings, "effective", settings).model_dump(mode="json")
    values = load_history(folder, state).values
    risk = getattr(state, "risk", None)
    return ModelSummary(
        name=(split_name(folder.path) or (folder.path.name, ""))[0],
        class_name=state.class_name,
        path=folder.path,
        iteration=state.iteration,
        settings=plain,
        overridden={key: in_force[key] for key in plain if in_force[key] != plain[key]},
        losses=summarize_losses(values, MODELS[state.class_name].losses),
        trained_s=state.trained_s,
        saved_at=state.saved_at,
        device=state.device,
        precision=state.precision,
        seed=state.seed,
        parameters=parameters,
        disk=disk_use(folder),
        facesets=_face_counts(state.facesets),
        recipe=_recipe(state),
        risk=risk.model_dump() if risk is not None and risk.rollbacks else None,
        backups=[kept.iteration for kept in list_backups(folder)],
        snapshots={kept.name: kept.iteration for kept in list_snapshots(folder)},
        events=[event.model_dump() for event in read_events(folder.events_file)[-_EVENTS:]],
    )


def summarize_losses(
    values: NDArray[np.float32], names: Sequence[str], window: int = _LARGEST_WINDOW
) -> dict[str, LossSummary]:
    """Mean and trend of losses (n, columns) by their names, over at most half of them."""
    size = max(1, min(window, len(values) // 2))
    now, before = _means(values[-size:]), _means(values[-2 * size : -size])
    summaries: dict[str, LossSummary] = {}
    for name, mean, earlier in zip(names, now, before, strict=True):
        known = math.isfinite(mean) and math.isfinite(earlier) and earlier > 0
        summaries[name] = LossSummary(
            mean=mean if math.isfinite(mean) else None,
            change=mean / earlier - 1 if known else None,
            window=size,
        )
    return summaries


def disk_use(folder: ModelFolder) -> DiskUse:
    """The size of a model's folder on disk."""
    seen: set[tuple[int, int]] = set()
    kept = (folder.backups, snapshots_folder(folder))
    apart = {folder.previews, *kept}
    own = [entry for entry in _entries(folder.path) if entry not in apart]
    return DiskUse(
        state=sum(_size(entry, seen) for entry in own),
        kept=sum(_size(entry, seen) for entry in kept),
        previews=_size(folder.previews, seen),
    )


def _counted(folder: ModelFolder) -> tuple[ModelState, dict[str, int]]:
    """The saved state and its networks' parameter counts, from the files' headers."""
    for _ in range(_ATTEMPTS):
        state = read_state(folder)
        others = {EMA_FILE, *(f"{name}.safetensors" for name in state.optimizers)}
        files = [folder.path / state.folder / name for name in state.files if name not in others]
        try:
            return state, {file.stem: _count(file) for file in files}
        except (FileNotFoundError, SafetensorError) as error:
            # Training in another process may have replaced the state in the meantime.
            if read_state(folder).folder == state.folder:
                raise ModelError(
                    f"{folder.path / state.folder}: cannot be read ({error}); restore a backup"
                ) from None
    raise ModelError(f"{folder.path}: is being saved constantly; try again")


def _count(file: Path) -> int:
    with safe_open(file, framework="pt") as tensors:
        names: list[str] = list(tensors.keys())
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)


def _means(rows: NDArray[np.float32]) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a number is NaN
        return np.asarray(np.nanmean(rows, axis=0, dtype=np.float64)).tolist()


def _face_counts(facesets: Mapping[str, str]) -> dict[str, int]:
    counts = {side: text.partition(" ")[0] for side, text in facesets.items()}
    return {side: int(count) for side, count in counts.items() if count.isdigit()}


def _recipe(state: ModelState) -> dict[str, Any] | None:
    progress = getattr(state, "recipe", None)
    if progress is None:
        return None
    stages: list[str] = []
    try:
        course = load_recipe(progress.recipe, scale=progress.scale)
        if course.belongs(progress):
            stages = [stage.name for stage in course.recipe.stages]
    except FaceloomError:
        pass  # the file is gone or has changed; the saved progress still gives its place
    done = bool(stages) and progress.stage >= len(stages)
    return {
        "recipe": progress.recipe,
        "stage": min(progress.stage + 1, len(stages) or progress.stage + 1),
        "stages": len(stages) or None,
        "stage_name": "done" if done else stages[progress.stage] if stages else None,
    }


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(path: Path, seen: set[tuple[int, int]]) -> int:
    total = 0
    for file in _files(path):
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        identity = (status.st_dev, status.st_ino)
        if identity not in seen:
            seen.add(identity)
            total += status.st_size
    return total


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for entry in _entries(path):
            yield from _files(entry)
    else:
        yield path


def _table(sections: Sequence[tuple[str, list[tuple[str, str]]]]) -> list[str]:
    folded = [(title, [line for row in own for line in _folded(*row)]) for title, own in sections]
    rows = [row for _, own in folded for row in own]
    left = max(len(key) for key, _ in rows)
    right = max(len(value) for _, value in rows)
    width = left + right + 3
    lines: list[str] = []
    for number, (title, own) in enumerate(folded):
        sign = "-" if number else "="
        lines.append(f"=={f' {title} '.center(width, sign)}==")
        lines += [f"== {key:>{left}} {value:<{right}} ==" for key, value in own]
    return [*lines, "=" * (width + 4)]


def _folded(key: str, value: str) -> list[tuple[str, str]]:
    """A row as lines of the table: many snapshots would make it too wide for a terminal."""
    first, *others = textwrap.wrap(value, _WIDEST) or [""]
    return [(f"{key}:", first), *(("", other) for other in others)]


def _event_line(event: Mapping[str, Any]) -> str:
    return f"{event['at']}  iteration {event['iteration']}: {event['message']}"


def _loss(loss: LossSummary) -> str:
    if loss.mean is None:
        return "unknown"
    if loss.change is None:
        return f"{loss.mean:.4f}"
    return f"{loss.mean:.4f} ({loss.change:+.1%} in the last {loss.window})"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def duration_text(seconds: float) -> str:
    """A duration for people: `3 h 20 min`."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds % 60)} s" if minutes else f"{seconds:.0f} s"


def size_text(count: int) -> str:
    """A size for people: `12.3 MB`."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
