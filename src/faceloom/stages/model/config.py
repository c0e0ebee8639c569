"""Configurations of everything that is done to a trained model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from faceloom.core.config import Option, Output, WorkspaceSettings
from faceloom.core.vocabulary import ModelClassName, Weights

NETWORKS: Final = frozenset(
    {"encoder", "inter", "inter_AB", "inter_B", "inter_src", "inter_dst", "decoder"}
    | {"decoder_src", "decoder_dst", "GAN", "code_discriminator", "xseg"}
)
"""Names of networks that some model class has."""


class ModelListConfig(WorkspaceSettings):
    """List the models of a workspace, the latest saved first.

    Shows iterations, recent losses, training time, size on disk, and which model is in training.
    DeepFaceLab models in the same folder, which can be imported, are listed too.

    **Example**

        faceloom model list
    """


class NamedModel(WorkspaceSettings):
    """Base of what is done to one model of the workspace."""

    name: Annotated[str | None, Option(positional=True, flag="--name")] = None
    """The model: NAME, or NAME_CLASS as its folder is called. Only needed when there are
    several."""
    class_name: Annotated[ModelClassName | None, Option(flag="--class")] = None
    """Its class, where several models have the same name."""


class ModelSummaryConfig(NamedModel):
    """Show everything about a model: settings, losses and their trend, time, sizes, events.

    Settings that pretraining overrides are shown with the value in force. The model may be in
    training.

    **Example**

        faceloom model summary main
    """


class ModelRenameConfig(NamedModel):
    """Give a model another name.

    **Example**

        faceloom model rename main "first try"
    """

    new_name: Annotated[str, Option(positional=True, flag="--as")]
    """Its new name."""


class ModelCopyConfig(NamedModel):
    """Copy the saved state of a model to a new model, for an experiment.

    The copy gets the losses, previews and event log, but no backups or snapshots. Its weights use
    no extra disk space until one of the two is trained. The original may be in training.

    **Example**

        faceloom model copy main gan-test
    """

    new_name: Annotated[str, Option(positional=True, flag="--as")]
    """The name of the copy."""


class ModelDeleteConfig(NamedModel):
    """Delete one model with its backups, snapshots and previews.

    Without --yes it only shows what would be deleted. A model in training is never deleted.

    **Example**

        faceloom model delete "first try" --yes
    """

    name: Annotated[str, Option(positional=True, flag="--name")]  # type: ignore[assignment]
    """The model: NAME, or NAME_CLASS as its folder is called."""
    yes: bool = False
    """Delete it, without asking."""


class ModelSnapshotConfig(NamedModel):
    """Keep the saved state of a model under a label until `forget` deletes it.

    The model may be in training.

    **Example**

        faceloom model snapshot main --label "before gan"
    """

    label: str
    """What to call the snapshot."""


class ModelSnapshotsConfig(NamedModel):
    """List a model's snapshots, the oldest first.

    **Example**

        faceloom model snapshots main
    """


class ModelBackupConfig(NamedModel):
    """Add the saved state of a model to its backups.

    The latest 24 backups are kept. `faceloom train --set backup_every_h=1` makes one every hour.
    The model may be in training.

    **Example**

        faceloom model backup main
    """


class ModelBackupsConfig(NamedModel):
    """List a model's backups, the oldest first.

    **Example**

        faceloom model backups main
    """


class ModelRestoreConfig(NamedModel):
    """Go back to a snapshot or backup. The current state is saved as a backup first.

    **Example**

        faceloom model restore "before gan"

        faceloom model restore main 120000
    """

    state: Annotated[str, Option(positional=True, flag="--state")]
    """A snapshot's label, or a backup's iteration."""


class ModelForgetConfig(NamedModel):
    """Delete a snapshot or backup. The model itself does not change.

    **Example**

        faceloom model forget "before gan"
    """

    state: Annotated[str, Option(positional=True, flag="--state")]
    """A snapshot's label, or a backup's iteration."""


class ModelResetConfig(NamedModel):
    """Reinitialise networks of a model. The state before is kept as a snapshot.

    Everything else stays, including the iteration. Large LIAE models for many faces are trained
    with `inter_AB` reset every 100 000 to 500 000 iterations; the rtm recipes do so automatically.

    **Example**

        faceloom model reset inter_AB

        faceloom model reset main encoder decoder
    """

    networks: Annotated[tuple[str, ...], Option(positional=True)] = ()
    """The networks: inter_AB, inter_B, inter, encoder, decoder … or GAN."""

    @model_validator(mode="before")
    @classmethod
    def _first_network(cls, values: Any) -> Any:
        """The first word of `reset inter decoder` is a network, not the model's name."""
        if isinstance(values, dict) and values.get("name") in NETWORKS:
            values = {**values, "networks": (values["name"], *values.get("networks", ()))}
            del values["name"]
        return values


class ModelTimelapseConfig(NamedModel):
    """Make a video of a model's preview history.

    The video shows swapped faces, so the workspace needs a rights record, and the video is signed.

    **Example**

        faceloom model timelapse main --fps 24 --output training.mp4
    """

    preview: Literal["plain", "masked", "morph"] = "plain"
    """Which previews to use; morph exists for AMP only."""
    output: Output | None = None
    """The video, or a folder for it (ends in `/`); unset: `timelapse.mp4` in the model's folder."""
    fps: int = Field(default=12, ge=1, le=120)
    """Previews per second."""


def _path_first(field: str, values: Any) -> Any:
    """A path in the place of the name is the folder: `model import old/workspace/model`."""
    if not isinstance(values, dict) or values.get(field) is not None:
        return values
    name = values.get("name")
    path = isinstance(name, str) and (name.startswith((".", "~")) or "/" in name or os.sep in name)
    return {**values, "name": None, field: name} if path else values


class ModelImportConfig(NamedModel):
    """Import a DeepFaceLab 2 model: SAEHD, AMP, Quick96 or XSeg.

    Imports weights, options, iteration, losses and optimizer state, so that training continues
    where it stopped. No code in the files is ever run, and DeepFaceLab's files do not change.

    **Example**

        faceloom model import old/workspace/model --name anna --class SAEHD
    """

    name: Annotated[str | None, Option(positional=True, flag="--name")] = None
    """The model's name in DeepFaceLab. Only needed when there are several."""
    folder: Annotated[Path | None, Option(positional=True, flag="--folder")] = None
    """DeepFaceLab's model folder; unset: the workspace's `model/`, which both programs use."""
    new_name: Annotated[str | None, Option(flag="--as")] = None
    """What to call it here; unset: the same name."""
    allow_missing: bool = False
    """Start networks whose files are missing from random weights, such as `inter_AB` after a
    reset."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    """Seed of the randomness in further training."""

    @model_validator(mode="before")
    @classmethod
    def _folder_first(cls, values: Any) -> Any:
        return _path_first("folder", values)


class ModelExportConfig(NamedModel):
    """Export a model to DeepFaceLab 2, where training can continue.

    A model represents a person's face: the workspace needs a rights record, and the export is
    recorded in its ledger. For DeepFaceLive use `faceloom export dfm`.

    **Example**

        faceloom model export main --output old/workspace/model
    """

    output: Annotated[Path | None, Option(positional=True, flag="--output", short="-o")] = None
    """DeepFaceLab's model folder; unset: the workspace's `model/`, which both programs use."""
    format: Literal["dfl"] = "dfl"
    """The program to write for: DeepFaceLab."""
    new_name: Annotated[str | None, Option(flag="--as")] = None
    """What to call it in DeepFaceLab; unset: the same name. Underscores become spaces."""
    overwrite: bool = False
    """Replace a model of the same name and class."""

    @model_validator(mode="before")
    @classmethod
    def _folder_first(cls, values: Any) -> Any:
        return _path_first("output", values)


class ExportDfmConfig(NamedModel):
    """Write a SAEHD or AMP model as a DFM file for DeepFaceLive.

    Before the file gets its name, it is run in onnxruntime and compared with the model.

    **Example**

        faceloom export dfm main --quantized --output anna.dfm
    """

    class_name: Annotated[Literal["SAEHD", "AMP"] | None, Option(flag="--class")] = None  # type: ignore[assignment]
    """Its class, where both have a model of that name."""
    quantized: bool = False
    """Half precision inside the file: about half the size and memory."""
    weights: Weights = "auto"
    """The weights of the last step (trained), their running mean (mean), or the mean where the
    model has one (auto)."""
    output: Output | None = None
    """The file, or a folder for it (ends in `/`, or exists); unset: NAME_CLASS_model.dfm in the
    workspace's `model/`."""


class ExportXsegConfig(WorkspaceSettings):
    """Write an XSeg mask model as ONNX, in DeepFaceLab's form.

    **Example**

        faceloom export xseg --output XSeg_model.onnx
    """

    name: Annotated[str | None, Option(positional=True, flag="--name")] = None
    """The model: NAME, or NAME_XSeg as its folder is called. Only needed when there are several."""
    weights: Weights = "auto"
    """The weights of the last step (trained), their running mean (mean), or the mean where the
    model has one (auto)."""
    output: Output | None = None
    """The file, or a folder for it (ends in `/`, or exists); unset: XSeg_model.onnx in the
    workspace's `model/`."""
