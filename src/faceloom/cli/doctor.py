"""`faceloom doctor`: does this machine have what is needed?"""

from __future__ import annotations

from pathlib import Path

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)


def doctor(
    *,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Try what every stage needs and tell, one line each, whether it works here.

    Ends with exit code 1 when something does not.

    **Example**

        faceloom doctor
    """
    from faceloom.core.errors import FaceloomError
    from faceloom.stages.doctor import DoctorConfig, run

    config = build_config(DoctorConfig, workspace=workspace)
    result = run_stage(run, config, json=json, verbose=verbose)
    if result.failed:
        raise FaceloomError(f"this machine lacks: {', '.join(result.failed)}")
