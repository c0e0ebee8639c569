"""`faceloom model`: what models there are, and keeping, restoring, resetting, moving them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    emit,
    run_stage,
)
from faceloom.core.errors import UsageError

app = App(name="model", help_format="markdown")
app.help = """List, sum up, rename, copy, delete, restore, reset, import and export models.

A model is called by its name, or by its name and class as its folder is (`main_SAEHD`). With one
model in the workspace no name is needed.

**Example**

    faceloom model list

    faceloom model summary main
"""

NameOption = Annotated[
    str | None,
    Parameter(name="--name", help="The model: NAME or NAME_CLASS; needed when there are several."),
]
ClassOption = Annotated[
    str | None,
    Parameter(name="--class", help="Its class (SAEHD, AMP …), where two have the same name."),
]


@app.command(name="list")
def list_(*, workspace: WorkspaceOption = Path(), json: JsonOption = False) -> None:
    """List the models of a workspace, the latest saved first.

    Shows iterations, recent losses, time trained and size on disk, which of them is in training,
    and DeepFaceLab models in the same folder, which can be imported.

    **Example**

        faceloom model list
    """
    from faceloom.stages.model.manage import list_all

    emit(list_all(workspace), json)


@app.command
def summary(
    name: Annotated[str | None, Parameter(help="NAME or NAME_CLASS.")] = None,
    /,
    *,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Tell all about a model: settings, losses and their trend, time, device, sizes, what happened.

    Settings that pretraining overrules show what is in force. The model may be in training.

    **Example**

        faceloom model summary main
    """
    from faceloom.stages.model.manage import summary

    emit(summary(workspace, name, class_name=class_), json)


@app.command
def rename(
    old: Annotated[str, Parameter(help="NAME or NAME_CLASS.")],
    new: Annotated[str, Parameter(help="Its new name.")],
    /,
    *,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Give a model another name.

    **Example**

        faceloom model rename main "first try"
    """
    from faceloom.stages.model.manage import rename

    emit(rename(workspace, old, new, class_name=class_), json)


@app.command
def copy(
    old: Annotated[str, Parameter(help="NAME or NAME_CLASS.")],
    new: Annotated[str, Parameter(help="The copy's name.")],
    /,
    *,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Make another model of a saved state, for an experiment; the original may be in training.

    The copy has its losses, previews and log, not its backups and snapshots. Weights take no more
    room on disk until one of both is trained on.

    **Example**

        faceloom model copy main gan-test
    """
    from faceloom.stages.model.manage import copy

    emit(copy(workspace, old, new, class_name=class_), json)


@app.command
def delete(
    name: Annotated[str, Parameter(help="NAME or NAME_CLASS.")],
    /,
    *,
    yes: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Do it: nothing is asked, or deleted."),
    ] = False,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Delete one model with its backups, snapshots and previews.

    Without --yes it only tells what that would be. A model in training is not deleted.

    **Example**

        faceloom model delete "first try" --yes
    """
    from faceloom.stages.model.manage import delete

    emit(delete(workspace, name, class_name=class_, yes=yes), json)


@app.command
def snapshot(
    label: Annotated[str, Parameter(help="What to call it.")],
    /,
    *,
    name: NameOption = None,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Keep the saved state of a model under a name, until `forget`; it may be in training.

    **Example**

        faceloom model snapshot "before gan" --name main
    """
    from faceloom.stages.model.states import take_snapshot

    emit(take_snapshot(workspace, label, name=name, class_name=class_), json)


@app.command
def snapshots(
    *,
    name: NameOption = None,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """List a model's snapshots, the oldest first.

    **Example**

        faceloom model snapshots
    """
    from faceloom.stages.model.states import snapshots

    emit(snapshots(workspace, name=name, class_name=class_), json)


@app.command
def backup(
    *,
    name: NameOption = None,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Keep the saved state of a model beside the hourly backups; it may be in training.

    The latest 24 backups stay. `faceloom train --set backup_every_h=1` makes them by itself.

    **Example**

        faceloom model backup
    """
    from faceloom.stages.model.states import take_backup

    emit(take_backup(workspace, name=name, class_name=class_), json)


@app.command
def backups(
    *,
    name: NameOption = None,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """List a model's backups, the oldest first.

    **Example**

        faceloom model backups
    """
    from faceloom.stages.model.states import backups

    emit(backups(workspace, name=name, class_name=class_), json)


@app.command
def restore(
    wanted: Annotated[str, Parameter(help="A snapshot's name, or a backup's iteration.")],
    /,
    *,
    name: NameOption = None,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Go back to a snapshot or backup; the present state is kept as a backup first.

    **Example**

        faceloom model restore "before gan"

        faceloom model restore 120000 --name main
    """
    from faceloom.stages.model.states import go_back

    emit(go_back(workspace, wanted, name=name, class_name=class_), json)


@app.command
def forget(
    wanted: Annotated[str, Parameter(help="A snapshot's name, or a backup's iteration.")],
    /,
    *,
    name: NameOption = None,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Delete a snapshot or backup. The model itself stays as it is.

    **Example**

        faceloom model forget "before gan"
    """
    from faceloom.stages.model.states import drop

    emit(drop(workspace, wanted, name=name, class_name=class_), json)


@app.command
def reset(
    *networks: Annotated[str, Parameter(help="inter_AB, inter_B, inter, decoder … or GAN.")],
    name: NameOption = None,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
) -> None:
    """Give networks of a model new weights; the state before is kept as a snapshot.

    Everything else, the iteration too, stays. Large LIAE models for many faces are made with
    `inter_AB` reset every 100 000 to 500 000 iterations; the rtm recipes do it by themselves.

    **Example**

        faceloom model reset inter_AB
    """
    from faceloom.stages.model.states import reset

    emit(reset(workspace, networks, name=name, class_name=class_), json)


@app.command
def timelapse(
    *,
    masked: Annotated[
        bool, Parameter(negative="", show_default=False, help="Of the masked previews.")
    ] = False,
    morph: Annotated[
        bool, Parameter(negative="", show_default=False, help="Of AMP's morph previews.")
    ] = False,
    out: Annotated[
        Path | None,
        Parameter(name=["--out", "-o"], help="The video; else timelapse.mp4 beside the weights."),
    ] = None,
    fps: Annotated[int | None, Parameter(help="Previews a second; 12 unless given.")] = None,
    name: NameOption = None,
    class_: ClassOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a video of a model's preview history.

    It shows swapped faces; so it needs the workspace's rights record and is signed.

    **Example**

        faceloom model timelapse --fps 24 --out course.mp4
    """
    from faceloom.stages.model.states import TimelapseConfig
    from faceloom.stages.model.states import timelapse as run

    if masked and morph:
        raise UsageError("--masked and --morph are two different videos; choose one")
    config = build_config(
        TimelapseConfig,
        workspace=workspace,
        name=name,
        class_name=class_,
        preview="masked" if masked else "morph" if morph else "plain",
        output=out,
        fps=fps,
    )
    run_stage(run, config, json=json, verbose=verbose)


app.command(
    "faceloom.cli.model.dfl:import_", name="import", help="Read a DeepFaceLab model and go on."
)
app.command(
    "faceloom.cli.model.dfl:export", name="export", help="Write a model that DeepFaceLab reads."
)
