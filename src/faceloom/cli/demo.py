"""`faceloom demo`: the whole pipeline on two built-in portraits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from faceloom.cli.common import JsonOption, SetOption, VerboseOption, build_config, run_stage


def demo(
    workspace: Annotated[
        Path, Parameter(help="The folder to make; an unfinished demo in it goes on.")
    ] = Path("demo"),
    /,
    *,
    iterations: Annotated[
        int | None, Parameter(help="Training steps; fewer are quicker and blurrier.")
    ] = None,
    train_minutes: Annotated[
        float | None, Parameter(help="Training ends after this time at the latest.")
    ] = None,
    device: Annotated[
        str | None, Parameter(help="auto (the default), cpu, cuda, cuda:1 … or mps.")
    ] = None,
    set_: SetOption = (),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Try everything, unattended: two public-domain portraits, animated, and one face put on the
    other.

    Makes two clips of 8 s with known landmarks out of the portraits of Eileen Collins and Grace
    Hopper, extracts the faces, trains a small model, merges, encodes and signs, in at most ten
    minutes on two CPU cores. Leaves result.mp4, side_by_side.mp4, timelapse.mp4 and
    contact_sheet.png, and says how near the result comes to src. Run again after a stop, it goes
    on.

    **Example**

        faceloom demo

        faceloom demo try --iterations 10000 --train-minutes 30
    """
    from faceloom.stages.demo.run import DemoConfig, run

    config = build_config(
        DemoConfig,
        set_,
        workspace=workspace,
        iterations=iterations,
        train_minutes=train_minutes,
        device=device,
    )
    run_stage(run, config, json=json, verbose=verbose)
