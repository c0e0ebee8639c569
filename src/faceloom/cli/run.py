"""`faceloom run`: the stage's command, whose --set takes settings of other stages."""

from __future__ import annotations

from typing import Any

from faceloom.cli.common import build_config, run_stage
from faceloom.cli.stage import with_signature
from faceloom.stages.config import RunConfig, changes_by_stage


def _run(*, set_: tuple[str, ...] = (), json: bool = False, verbose: bool = False, **given: Any):
    changes_by_stage(set_)
    config = build_config(RunConfig, stage="run", changes=set_ or None, **given)
    from faceloom.stages.run import run

    return run_stage(run, config, json=json, verbose=verbose)


run = with_signature(_run, RunConfig)
