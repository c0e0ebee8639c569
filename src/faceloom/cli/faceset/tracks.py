"""`faceloom faceset tracks`: who was followed through the clip, and whom to keep."""

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


def tracks(
    faceset: Annotated[str, Parameter(help="src, dst or a folder of faces.")],
    /,
    *,
    keep: Annotated[
        str | None, Parameter(help="Tracks to keep, 0,3; the others' faces move to the trash.")
    ] = None,
    drop: Annotated[
        str | None, Parameter(help="Tracks whose faces move to the trash (aligned_trash).")
    ] = None,
    sheet: Annotated[
        Path | None,
        Parameter(help="Write a picture with each track's first, middle, last and best face."),
    ] = None,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """List the tracks of a faceset: from when to when, how many faces, how large and sharp.

    Faces of several clips in one folder are told apart by their names. Faces are moved, never
    deleted, and `faceloom faceset undo` brings them back.

    **Example**

        faceloom faceset tracks dst --sheet tracks.png

        faceloom faceset tracks dst --keep 0,3
    """
    from faceloom.stages.faceset.tracks import TracksConfig, run

    config = build_config(
        TracksConfig,
        set_,
        stage="tracks",
        workspace=workspace,
        faceset=faceset,
        keep=_labels(keep),
        drop=_labels(drop),
        sheet=sheet,
    )
    run_stage(run, config, json=json, verbose=verbose)


def _labels(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())
