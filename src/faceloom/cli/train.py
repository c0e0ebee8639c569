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

from faceloom.cli.common import (
    JsonOption,
    SetOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)

if TYPE_CHECKING:
    from faceloom.stages.train import TrainConfig

# The same words as `models.MODELS`, which help must not have to import.
ModelWord = Literal["SAEHD", "Quick96"]
PrecisionWord = Literal["auto", "fp32", "bf16"]


def train(
    model: Annotated[
        ModelWord | None,
        Parameter(help="SAEHD (any size; the default) or Quick96 (small, for a first look)."),
    ] = None,
    /,
    *,
    name: Annotated[
        str | None, Parameter(help="Name of the model; needed when there are several.")
    ] = None,
    iterations: Annotated[
        int | None, Parameter(help="Go on until this iteration; 0, the default, is endless.")
    ] = None,
    set_: SetOption = (),
    preview: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Show the previews in a browser while it trains.",
        ),
    ] = False,
    device: Annotated[
        str | None, Parameter(help="auto (the default), cpu, cuda, cuda:1 … or mps.")
    ] = None,
    precision: Annotated[
        PrecisionWord | None,
        Parameter(help="fp32, bf16, or auto (the default): bf16 where the hardware has it."),
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
    there. Previews, their history and the loss curve lie in the model's folder.

    **Example**

        faceloom train SAEHD --set resolution=128 --set archi=df-ud --iterations 50000 --preview

        faceloom train SAEHD --set random_warp=false --iterations 60000
    """
    from faceloom.stages.train import TrainConfig, run

    own, of_model = _split(set_, TrainConfig.model_fields)
    config = build_config(
        TrainConfig,
        own,
        stage="train",
        workspace=workspace,
        model=model,
        name=name,
        iterations=iterations,
        changes=of_model or None,
        device=device,
        precision=precision,
        threads=threads,
        seed=seed,
    )
    if preview:
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
    from faceloom.stages.train import chosen_folder
    from faceloom.stages.workspace import Workspace

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
