"""`faceloom dedupe`: near-duplicates out of a faceset."""

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


def dedupe(
    faceset: Annotated[str, Parameter(help="src, dst or a folder of faces.")],
    /,
    *,
    strength: Annotated[
        int | None,
        Parameter(help="0 (the same picture again) to 5 (nearly the same pose); 2 unless given."),
    ] = None,
    per_track: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Compare faces of one track only."),
    ] = False,
    sheet: Annotated[
        Path | None, Parameter(help="Write a picture of pairs: the face kept, the face dropped.")
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Move nothing, only tell.")
    ] = False,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Move near-duplicates to `aligned_duplicates/<strength>`; the best face of each stays.

    Faces are duplicates when picture, identity, pose and expression are all near; the higher the
    strength, the less near. Nothing is deleted, and `faceloom faceset undo` brings them back.

    **Example**

        faceloom dedupe src --strength 3 --dry-run --sheet pairs.png

        faceloom dedupe src --strength 3
    """
    from faceloom.stages.curate.dedupe import DedupeConfig, run

    config = build_config(
        DedupeConfig,
        set_,
        stage="dedupe",
        workspace=workspace,
        faceset=faceset,
        strength=strength,
        per_track=per_track or None,
        sheet=sheet,
        dry_run=dry_run or None,
    )
    run_stage(run, config, json=json, verbose=verbose)
