"""`faceloom faceset list`: what is in a faceset, in sums or face by face."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from faceloom.cli.common import (
    VerboseOption,
    WorkspaceOption,
    build_config,
    cancel_on_interrupt,
    run_stage,
    set_up_logging,
    to_json,
    write_line,
)


def list_(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    /,
    *,
    json: Annotated[
        bool,
        Parameter(
            name="--json", negative="", show_default=False, help="Print a JSON object a face."
        ),
    ] = False,
    workspace: WorkspaceOption = Path(),
    verbose: VerboseOption = False,
) -> None:
    """Tell what is in a faceset: how many faces, of which kind and size, from where, what is none.

    With `--json` it prints one JSON object a face, a line each: file, source_file, frame_index,
    time_s, source_rect, source_landmarks, face_type, yaw_deg, pitch_deg, roll_deg, track, detector
    and score; what is not known is null. Files that are no faces are told on standard error.

    **Example**

        faceloom faceset list dst

        faceloom faceset list src --json > faces.jsonl
    """
    from faceloom.cli.progress import console_progress
    from faceloom.core.events import Cancel
    from faceloom.stages.faceset.list import ListConfig, list_faces, run

    config = build_config(ListConfig, workspace=workspace, faceset=faceset)
    if not json:
        run_stage(run, config, verbose=verbose)
        return
    set_up_logging(verbose)
    progress, cancel = console_progress(), Cancel()
    with cancel_on_interrupt(cancel, progress):
        try:
            for face in list_faces(config, progress=progress, cancel=cancel):
                write_line(to_json(face))
        finally:
            progress.finish()
