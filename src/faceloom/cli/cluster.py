"""`faceloom cluster`: a faceset's faces by person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    SetOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)


def cluster(
    faceset: Annotated[str, Parameter(help="src, dst or a folder of faces.")],
    /,
    *,
    name: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="Name a group, 2=anna; may be repeated. Anna is known from then on.",
        ),
    ] = (),
    keep: Annotated[
        str | None,
        Parameter(help="Groups to keep, 0,anna; the others' faces move to aligned_trash."),
    ] = None,
    move: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Move each group beside the faceset: aligned_anna, aligned_group_3.",
        ),
    ] = False,
    outliers: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Rename the faces: those least like the main person first.",
        ),
    ] = False,
    threshold: Annotated[
        float | None,
        Parameter(help="Likeness from which groups are one person's; 0.45 unless given."),
    ] = None,
    sheet: Annotated[
        Path | None, Parameter(help="Write a picture with a row of faces for each group.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Move and name nothing, only tell.")
    ] = False,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Group the faces by person; list, name, keep or move the groups.

    Groups are numbered from the largest. People who were named once get their names by
    themselves, in this workspace's other facesets too, and `extract --who anna` keeps only theirs.
    Faces are moved, never deleted, and `faceloom faceset undo` brings them back.

    **Example**

        faceloom cluster src --sheet people.png

        faceloom cluster src --name 0=anna --keep anna
    """
    from faceloom.stages.curate.cluster import ClusterConfig, run

    words = (
        None if keep is None else tuple(word.strip() for word in keep.split(",") if word.strip())
    )
    config = build_config(
        ClusterConfig,
        set_,
        stage="cluster",
        workspace=workspace,
        faceset=faceset,
        name=name or None,
        keep=words,
        move=move or None,
        outliers=outliers or None,
        threshold=threshold,
        sheet=sheet,
        dry_run=dry_run or None,
    )
    run_stage(run, config, json=json, verbose=verbose)
