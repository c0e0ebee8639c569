"""`faceloom faceset list`: its `--json` prints a line per face as it is read, not the totals."""

from __future__ import annotations

from typing import Any

from faceloom.cli.common import (
    build_config,
    cancel_on_interrupt,
    run_stage,
    set_up_logging,
    write_json,
)
from faceloom.cli.progress import console_progress
from faceloom.cli.stage import with_signature
from faceloom.core.events import Cancel
from faceloom.stages.faceset.config import FacesetListConfig


def _list(
    *, json: bool = False, verbose: bool = False, set_: tuple[str, ...] = (), **given: Any
) -> Any:
    from faceloom.stages.faceset.list import list_faces, run

    config = build_config(FacesetListConfig, set_, **given)
    if not json:
        return run_stage(run, config, verbose=verbose)
    set_up_logging(verbose)
    progress, cancel = console_progress(), Cancel()
    with cancel_on_interrupt(cancel, progress):
        try:
            for face in list_faces(config, progress=progress, cancel=cancel):
                write_json(face)
        finally:
            progress.finish()
    return None


list_faces = with_signature(_list, FacesetListConfig)
