"""`faceloom model import` and `faceloom model export`: DeepFaceLab's models in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)

# The same words as `export.DFL_CLASSES`, which help must not have to import.
DflClassWord = Literal["SAEHD", "AMP", "Quick96", "XSeg"]
ClassOption = Annotated[
    DflClassWord | None,
    Parameter(name="--class", help="Its class, where several models have the name."),
]


def import_(
    folder: Annotated[
        Path | None, Parameter(help="DeepFaceLab's model folder; else the workspace's model/.")
    ] = None,
    /,
    *,
    name: Annotated[
        str | None, Parameter(help="The model's name there; needed when there are several.")
    ] = None,
    class_: ClassOption = None,
    new_name: Annotated[
        str | None, Parameter(name="--as", help="What to call it here; else as there.")
    ] = None,
    allow_missing: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Start networks afresh whose files are missing, as inter_AB after a reset.",
        ),
    ] = False,
    seed: Annotated[
        int | None, Parameter(help="Start of the randomness of its further training.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Take over a model of DeepFaceLab 2: SAEHD, AMP, Quick96 or XSeg.

    Weights, options, iteration, losses and the optimizer's memory come along, and training goes on
    where it stood. Nothing in the files is run, whoever made them; DeepFaceLab's stay as they are.

    **Example**

        faceloom model import old/workspace/model --name anna --class SAEHD
    """
    from faceloom.stages.model.dfl import ImportConfig, run_import

    config = build_config(
        ImportConfig,
        workspace=workspace,
        folder=folder,
        name=name,
        class_name=class_,
        new_name=new_name,
        allow_missing=allow_missing,
        seed=seed,
    )
    run_stage(run_import, config, json=json, verbose=verbose)


def export(
    folder: Annotated[
        Path | None, Parameter(help="DeepFaceLab's model folder; else the workspace's model/.")
    ] = None,
    /,
    *,
    format_: Annotated[
        Literal["dfl"], Parameter(name="--format", help="For which program: DeepFaceLab.")
    ] = "dfl",
    name: Annotated[
        str | None, Parameter(help="The model: NAME or NAME_CLASS; needed when there are several.")
    ] = None,
    class_: ClassOption = None,
    new_name: Annotated[
        str | None, Parameter(name="--as", help="What to call it there; else as here.")
    ] = None,
    overwrite: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Replace a model of that name and class there."
        ),
    ] = False,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a model that DeepFaceLab 2 loads, and goes on training where it stood.

    A model holds a face: the workspace needs its rights record, and its ledger gets a line. For
    DeepFaceLive there is `faceloom export dfm`.

    **Example**

        faceloom model export old/workspace/model --name main
    """
    del format_  # one so far, named so that scripts stay right when there are more
    from faceloom.stages.model.dfl import ExportConfig, run_export

    config = build_config(
        ExportConfig,
        workspace=workspace,
        folder=folder,
        name=name,
        class_name=class_,
        new_name=new_name,
        overwrite=overwrite,
    )
    run_stage(run_export, config, json=json, verbose=verbose)
