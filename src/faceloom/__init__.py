"""Faceloom: train a face swap for exactly one consenting pair, and label the result.

The stages of the command line are functions here. Each takes its configuration, or the
configuration's fields as keywords, and returns what the stage made:

    from faceloom import Workspace, extract, merge, train

    extract(workspace="cast", side="src")
    train(TrainConfig(workspace="cast", iterations=5000), progress=my_progress)

Every name is loaded when it is first used, so that `import faceloom` stays cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceloom.core.errors import FaceloomError as FaceloomError
    from faceloom.core.events import Cancel as Cancel
    from faceloom.core.events import NullProgress as NullProgress
    from faceloom.core.events import Progress as Progress
    from faceloom.workspace.layout import Workspace as Workspace

_STAGES = {
    "cluster": "faceloom.stages.curate.cluster",
    "coverage": "faceloom.stages.curate.coverage",
    "dedupe": "faceloom.stages.curate.dedupe",
    "demo": "faceloom.stages.demo.run",
    "doctor": "faceloom.stages.doctor",
    "encode": "faceloom.stages.encode",
    "extract": "faceloom.stages.extract.run",
    "frames": "faceloom.stages.frames",
    "inspect": "faceloom.stages.inspect",
    "merge": "faceloom.stages.merge.run",
    "new": "faceloom.stages.new",
    "run": "faceloom.stages.run",
    "sort": "faceloom.stages.curate.sort",
    "train": "faceloom.stages.train.run",
}
_HOMES = {
    "Cancel": "faceloom.core.events",
    "FaceloomError": "faceloom.core.errors",
    "NullProgress": "faceloom.core.events",
    "Progress": "faceloom.core.events",
    "Workspace": "faceloom.workspace.layout",
    **{f"{stage.capitalize()}Config": home for stage, home in _STAGES.items()},
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("faceloom")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _STAGES:
        return _stage_function(name)
    raise AttributeError(f"module 'faceloom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_STAGES})


def _run_stage(
    stage: str,
    config: Any = None,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    **fields: Any,
) -> Any:
    from faceloom.core.config import validate
    from faceloom.core.events import Cancel, NullProgress

    module = import_module(_STAGES[stage])
    if config is None:
        config = validate(getattr(module, f"{stage.capitalize()}Config"), fields, where=stage)
    elif fields:
        raise TypeError(f"{stage}() takes a configuration or its fields, not both")
    return module.run(config, progress=progress or NullProgress(), cancel=cancel or Cancel())


def _stage_function(stage: str) -> Callable[..., Any]:
    def call(
        config: Any = None,
        *,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
        **fields: Any,
    ) -> Any:
        return _run_stage(stage, config, progress=progress, cancel=cancel, **fields)

    call.__name__ = call.__qualname__ = stage
    call.__doc__ = import_module(_STAGES[stage]).run.__doc__
    return call
