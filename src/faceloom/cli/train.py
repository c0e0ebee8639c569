"""`faceloom train`: train a model on the two facesets."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from faceloom.cli.common import build_config, first_process, run_stage
from faceloom.cli.stage import JsonOption, SetOption, VerboseOption
from faceloom.core.errors import UsageError

if TYPE_CHECKING:
    from faceloom.stages.train.run import TrainConfig

WorkspaceOption = Annotated[
    Path, Parameter(name=["--workspace", "-w"], help="The workspace folder.")
]
# The same words as `models.MODELS`, which help must not have to import.
ModelWord = Literal["SAEHD", "AMP", "Quick96", "XSeg"]
PrecisionWord = Literal["auto", "fp32", "bf16"]
CompileWord = Literal["auto", "on", "off"]


def train(
    model: Annotated[
        ModelWord | None,
        Parameter(
            help="SAEHD (any size; the default), AMP (morphs from dst to src), Quick96 (small, for "
            "a first look) or XSeg (masks). Unset: the recipe's, else that of the model that is "
            "there, SAEHD for a first one."
        ),
    ] = None,
    /,
    *,
    name: Annotated[
        str | None, Parameter(help="Name of the model; needed when there are several.")
    ] = None,
    iterations: Annotated[
        int | None, Parameter(help="Go on until this iteration; 0, the default, is endless.")
    ] = None,
    recipe: Annotated[
        str | None,
        Parameter(
            help="Follow a schedule of stages: saehd, amp, quick, rtm-new, rtm-old, rtm-day, or a "
            ".toml of your own; `none` leaves the one that the model is in."
        ),
    ] = None,
    recipe_scale: Annotated[
        float | None, Parameter(help="Multiply the recipe's lengths, e.g. 0.01.")
    ] = None,
    batch: Annotated[
        str | None, Parameter(help="Faces of each side a step, or auto: the most that fit.")
    ] = None,
    set_: SetOption = (),
    src_src: Annotated[
        bool | None,
        Parameter(negative="", help="Train on src's faces on both sides (AMP's SRC-SRC way)."),
    ] = None,
    pretrain_faces: Annotated[
        Path | None, Parameter(help="Many people's faces, for --set pretrain=true.")
    ] = None,
    preview: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Show the previews in a browser while it trains.",
        ),
    ] = False,
    tensorboard: Annotated[
        bool | None,
        Parameter(negative="", help="Write losses and previews for TensorBoard as well."),
    ] = None,
    plan: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Do not train: tell what memory and time it would take, and what would fit.",
        ),
    ] = False,
    card: Annotated[
        str | None,
        Parameter(help='With --plan: for this card ("RTX 4090") or memory ("24GB").'),
    ] = None,
    device: Annotated[
        str | None, Parameter(help="auto (the default), cpu, cuda, cuda:1 … or mps.")
    ] = None,
    precision: Annotated[
        PrecisionWord | None,
        Parameter(help="fp32, bf16, or auto (the default): bf16 where the hardware has it."),
    ] = None,
    compile: Annotated[
        CompileWord | None,
        Parameter(help="Compile the step: auto (the default: on a GPU), on or off."),
    ] = None,
    threads: Annotated[
        int | None, Parameter(help="CPU threads; 0, the default, is one for each core.")
    ] = None,
    seed: Annotated[int | None, Parameter(help="Start of a new model's randomness.")] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train a model on the facesets of src and dst, or go on with one that is there.

    The first run fixes the model's shape (resolution, face_type, archi, dims); everything else
    may change whenever training goes on. Ctrl-C saves and stops; the same command resumes exactly
    there. Previews, their history and the loss curve lie in the model's folder. Under `torchrun`
    several GPUs or machines train together.

    **Example**

        faceloom train SAEHD --set resolution=128 --set archi=df-ud --iterations 50000 --preview

        faceloom train SAEHD --set random_warp=false --iterations 60000

        faceloom train --recipe saehd --recipe-scale 0.1

        faceloom train --plan --set resolution=256 --card "RTX 4090"
    """
    from faceloom.stages.train.run import TrainConfig, run

    own, of_model = _split(set_, TrainConfig.model_fields)
    config = build_config(
        TrainConfig,
        own,
        stage="train",
        workspace=workspace,
        model=model,
        name=name,
        iterations=iterations,
        recipe=recipe,
        recipe_scale=recipe_scale,
        batch=batch,
        changes=of_model or None,
        src_src=src_src,
        pretrain_faces=pretrain_faces,
        tensorboard=tensorboard,
        device=device,
        precision=precision,
        compile=compile,
        threads=threads,
        seed=seed,
    )
    if recipe_scale is not None and config.recipe is None:
        raise UsageError("--recipe-scale goes with --recipe; a model in a recipe keeps its scale")
    if plan:
        from faceloom.stages.train.plan import PlanConfig
        from faceloom.stages.train.plan import run as run_plan

        run_stage(run_plan, PlanConfig.of(config, card=card), json=json, verbose=verbose)
        return
    if card is not None:
        raise UsageError("--card goes with --plan")
    if preview and first_process():
        _show_preview(config)
    run_stage(run, config, json=json, verbose=verbose)


def _split(texts: Iterable[str], own: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """`key=value` texts of the stage, and those of the model."""
    names = set(own)
    mine = [text for text in texts if text.partition("=")[0].strip() in names]
    return mine, tuple(text for text in texts if text not in mine)


def _show_preview(config: TrainConfig) -> None:
    """Open the page that reloads the latest preview, as soon as the first one is there.

    A page and not a window: it works with the headless OpenCV that servers have, through a
    forwarded folder as well, and outlives the training. Without a display its path is told.
    """
    from faceloom.stages.train.run import chosen_folder
    from faceloom.workspace import Workspace

    previews = chosen_folder(Workspace.open(config.workspace).model, config).previews
    page = (previews / "index.html").absolute()
    if not _has_display():
        sys.stderr.write(f"preview: open {page} in a browser\n")
        return

    def open_page() -> None:
        import webbrowser

        began = time.time()
        picture = previews / "last.jpg"
        while not picture.exists() or picture.stat().st_mtime < began:
            time.sleep(0.5)
        webbrowser.open(page.as_uri())

    threading.Thread(target=open_page, daemon=True, name="preview").start()


def _has_display() -> bool:
    """Whether a browser would open a window, and not take over the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
