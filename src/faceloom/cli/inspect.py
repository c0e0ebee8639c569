"""`faceloom inspect`: what a file says about itself, and whether it was altered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from faceloom.cli.common import JsonOption, VerboseOption, build_config, run_stage


def inspect(
    file: Annotated[Path, Parameter(help="Any file: a video, a picture, a face.")],
    /,
    *,
    workspace: Annotated[
        Path | None,
        Parameter(
            name=["--workspace", "-w"],
            help="Whose key and ledger count; otherwise the workspace that the file lies in.",
        ),
    ] = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Tell what a file is, what it says about itself, and whether it was altered since.

    Reads content credentials (C2PA), embedded or beside the file as `NAME.c2pa`, by whoever
    signed them; a face's metadata; and what the workspace's ledger knows. A file without
    credentials may still be a fake: they can be stripped, but not forged.

    **Example**

        faceloom inspect cast/result.mp4
    """
    from faceloom.stages.inspect import InspectConfig, run

    config = build_config(InspectConfig, path=file, workspace=workspace)
    run_stage(run, config, json=json, verbose=verbose)
