"""`faceloom train`: the train stage, with its previews in a browser or a plan instead."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import time
from typing import Annotated, Any

from cyclopts import Parameter

from faceloom.cli.common import build_config, first_process, run_stage
from faceloom.cli.stage import with_signature
from faceloom.core.errors import UsageError
from faceloom.stages.train.config import PlanConfig, TrainConfig


def _option(name: str, annotation: Any, default: Any, text: str) -> inspect.Parameter:
    parameter = Parameter(help=text, negative="", show_default=False)
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(
        name, kind, default=default, annotation=Annotated[annotation, parameter]
    )


_EXTRA = (
    _option("preview", bool, False, "Show the previews in a browser while it trains."),
    _option("plan", bool, False, "Only estimate memory and time, as `faceloom plan` does."),
    _option("card", str | None, None, 'With --plan: for this card, e.g. "RTX 4090" or "24 GB".'),
)


def _train(
    set_: tuple[str, ...] = (),
    *,
    json: bool = False,
    verbose: bool = False,
    preview: bool = False,
    plan: bool = False,
    card: str | None = None,
    **given: Any,
) -> None:
    config = build_config(TrainConfig, set_, stage="train", **given)
    if given.get("recipe_scale") is not None and config.recipe is None:
        raise UsageError(
            "--recipe-scale needs --recipe; a model keeps the scale of its current recipe"
        )
    if card is not None and not plan:
        raise UsageError("--card needs --plan")
    if plan:
        from faceloom.stages.train.plan import run as run_plan

        run_stage(run_plan, PlanConfig.of(config, card=card), json=json, verbose=verbose)
        return
    from faceloom.stages.train.run import run

    if preview and first_process():
        _show_preview(config)
    run_stage(run, config, json=json, verbose=verbose)


train = with_signature(_train, TrainConfig, extra=_EXTRA)


def _show_preview(config: TrainConfig) -> None:
    """Open the page that reloads the latest preview, as soon as there is a new preview.

    A page, not a window: it works with the headless OpenCV of servers and in a forwarded folder,
    and it is still there after the training. Without a display, only its path is printed.
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
    """Whether a browser would open a window rather than take over the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
