"""`faceloom faceset rename` and `undo`: names of faces, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    emit,
    run_stage,
)


def rename(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    /,
    *,
    prefix: Annotated[
        str | None,
        Parameter(help="Put before every name, to tell apart the faces of several clips."),
    ] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Give faces the names of their source files back, after a sort: `00017_0.jpg`, `00017_1.jpg`.

    `faceloom faceset undo` takes it back.

    **Example**

        faceloom faceset rename src
    """
    from faceloom.stages.faceset.names import NamesConfig, run

    config = build_config(NamesConfig, workspace=workspace, faceset=faceset, prefix=prefix)
    run_stage(run, config, json=json, verbose=verbose)


def undo(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    /,
    *,
    list_: Annotated[
        bool,
        Parameter(
            name="--list", negative="", show_default=False, help="Only show what can be undone."
        ),
    ] = False,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Take back the last operation that moved or renamed faces; again for the one before it.

    Faces come back from `aligned_trash` and other folders beside the faceset too. What you renamed
    or deleted by hand since is left alone and told.

    **Example**

        faceloom faceset undo src --list

        faceloom faceset undo src
    """
    from faceloom.stages.faceset.names import UndoConfig, list_operations
    from faceloom.stages.faceset.names import undo as run

    config = build_config(UndoConfig, workspace=workspace, faceset=faceset)
    if list_:
        emit(list_operations(config), json)
        return
    run_stage(run, config, json=json, verbose=verbose)
