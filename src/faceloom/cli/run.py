"""`faceloom run`: from footage to the signed result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    build_config,
    run_stage,
)

# The same words as `models.MODELS`, which help must not have to import.
ModelWord = Literal["SAEHD", "AMP", "Quick96"]


def run(
    workspace: Annotated[Path, Parameter(help="The workspace folder.")] = Path(),
    /,
    *,
    model: Annotated[
        ModelWord | None,
        Parameter(help="SAEHD, AMP or Quick96; otherwise the one that is there, or SAEHD."),
    ] = None,
    name: Annotated[
        str | None, Parameter(help="Name of the model; needed when there are several.")
    ] = None,
    iterations: Annotated[
        int | None,
        Parameter(help="Train until this iteration; otherwise the model's target, or 20000."),
    ] = None,
    set_: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            negative="",
            show_default=False,
            help="A stage's setting, stage.key=value with extract, train, merge or encode; "
            "may be repeated.",
        ),
    ] = (),
    device: Annotated[
        str | None, Parameter(help="auto (the default), cpu, cuda, cuda:1 … or mps.")
    ] = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Do every stage that is not yet done, in order: extract, train, merge, encode.

    Ctrl-C saves and stops; the same command goes on there. To see a result before the training is
    through, stop it and ask for fewer iterations. Settings may also stand in the workspace's
    faceloom.toml, in tables [extract], [train], [train.settings] (the model's), [merge], [encode]
    and [run]; that of `faceloom frames` is [frames].

    **Example**

        faceloom run cast --model Quick96 --iterations 10000 --set encode.codec=h265
    """
    from faceloom.stages.run import RunConfig, changes_by_stage
    from faceloom.stages.run import run as run_stages

    changes_by_stage(set_)
    config = build_config(
        RunConfig,
        stage="run",
        workspace=workspace,
        model=model,
        name=name,
        iterations=iterations,
        changes=set_ or None,
        device=device,
    )
    run_stage(run_stages, config, json=json, verbose=verbose)
