"""Configuration of training, and of planning one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from faceloom.core.config import DeviceSettings, Option, Settings, ThreadSettings, WorkspaceSettings
from faceloom.settings.models import ModelClassName
from faceloom.settings.training import CompileChoice, PrecisionChoice, Schedule


def _batch(value: Any) -> Any:
    if isinstance(value, str) and value != "auto" and not value.strip().isdecimal():
        raise ValueError("must be a number of faces, or auto")
    return value


def _names(value: Any) -> Any:
    """A text from the command line as the names that it lists."""
    if not isinstance(value, str):
        return value
    return tuple(name.strip() for name in value.split(",") if name.strip())


FileNames = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""File names; a text lists them separated by commas."""


class ModelChoice(WorkspaceSettings, DeviceSettings, ThreadSettings):
    """Which model to train, with which settings, and where."""

    FOREIGN: ClassVar[str | None] = "changes"

    model: Annotated[ModelClassName | None, Option(positional=True)] = None
    """SAEHD (any size; the default), AMP (morphs from dst to src), Quick96 (small, for a quick
    test) or XSeg (masks). Unset: the class of the recipe or of the existing model, else SAEHD."""
    name: str | None = None
    """Name of the model, needed when there are several. Unset: the only one of its class, or `main`
    for the first."""
    iterations: int | None = Field(default=None, ge=0)
    """Train until this iteration; 0: until stopped. Unset: the model's `target_iter`."""
    recipe: str | None = None
    """Follow a schedule of stages: saehd, amp, quick, rtm-new, rtm-old, rtm-day, or your own .toml
    file. Unset: continue the model's current recipe; `none`: leave it."""
    recipe_scale: float = Field(default=1.0, gt=0, le=1000)
    """Multiply all lengths of the recipe, e.g. by 0.01 for a quick test."""
    batch: Annotated[Literal["auto"] | int | None, BeforeValidator(_batch)] = None
    """Faces per side in each step (the setting `batch_size`); auto: the most that fit."""
    settings: Annotated[dict[str, Any], Option(hidden=True)] = Field(default_factory=dict)
    """Settings of the model, such as resolution, archi and batch_size. Those that only other model
    classes have are ignored."""
    changes: Annotated[tuple[str, ...], Option(hidden=True)] = ()
    """The same as `key=value` texts; they take precedence over `settings` and the recipe."""
    precision: PrecisionChoice = "auto"
    """fp32, bf16 (about twice as fast if the hardware supports it), or auto: bf16 if it does."""


class MaterialConfig(Settings):
    """Which faces to train on, and which to show."""

    src_src: bool = False
    """Train on the src faces on both sides (AMP's SRC-SRC mode): for any dst, which stays
    unlearned."""
    pretrain_faces: Path | None = None
    """Faceset of many people, used while the model's setting `pretrain` is on."""
    preview_src: FileNames = ()
    """File names of the src faces in the previews, separated by commas. Unset: a selection over all
    yaw angles."""
    preview_dst: FileNames = ()
    """The same for dst."""


class TrainConfig(Schedule, MaterialConfig, ModelChoice):
    """Train a model on the facesets of src and dst, or continue training an existing one.

    The first run fixes the model's architecture (resolution, face_type, archi, dims); every other
    setting can change whenever training continues. Ctrl-C saves and stops; the same command resumes
    exactly there. Previews, their history and the loss curve are in the model's folder. Under
    `torchrun`, several GPUs or machines train together.

    **Example**

        faceloom train SAEHD --set resolution=128 --set archi=df-ud --iterations 50000 --preview

        faceloom train SAEHD --set random_warp=false --iterations 60000

        faceloom train --recipe saehd --recipe-scale 0.1

        faceloom train --plan --set resolution=256 --card "RTX 4090"
    """

    compile: CompileChoice = "auto"
    """Compile the training step; auto: on NVIDIA and AMD GPUs, where it is faster."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    """Random seed of a new model; an existing one keeps its own."""
    tensorboard: bool = False
    """Also write losses and previews for TensorBoard, to `tensorboard` in the model's folder."""


class PlanConfig(ModelChoice):
    """Estimate the memory and time that a training needs, and what fits, without starting it.

    Takes the settings of `faceloom train`. Memory is counted by simulating a training step. Speed
    is measured on this machine in a few seconds, or estimated from the data sheet of `--card`.

    **Example**

        faceloom plan SAEHD --set resolution=256 --set archi=liae-udt --card "RTX 4090"

        faceloom plan AMP --batch 8
    """

    card: str | None = None
    """A graphics card by name, such as "RTX 4090", or a memory size, such as "24 GB". Unset: this
    machine."""

    @classmethod
    def of(cls, training: TrainConfig, *, card: str | None = None) -> Self:
        """The plan of `training`."""
        return cls(**{key: getattr(training, key) for key in ModelChoice.model_fields}, card=card)

    @model_validator(mode="before")
    @classmethod
    def _ignore_training(cls, values: Any) -> Any:
        """`[train]` of `faceloom.toml` also holds settings that a plan does not need."""
        if not isinstance(values, dict):
            return values
        ignored = TrainConfig.model_fields.keys() - cls.model_fields.keys()
        return {key: value for key, value in values.items() if key not in ignored}
