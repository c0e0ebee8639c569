"""Faceloom: train a face swap for exactly one consenting pair, and label the result.

The stages of the command line are functions here. Each takes its configuration, or the
configuration's fields as keywords, and returns what the stage made:

    from faceloom import Workspace, extract, merge, train

    extract(workspace="cast", side="src")
    train(TrainConfig(workspace="cast", iterations=5000), progress=my_progress)

Every name is loaded when it is first used, so that `import faceloom` stays cheap.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceloom.core.errors import FaceloomError as FaceloomError
    from faceloom.core.events import Cancel as Cancel
    from faceloom.core.events import NullProgress as NullProgress
    from faceloom.core.events import Progress as Progress
    from faceloom.stages.workspace import Workspace as Workspace

_STAGES = (
    "cluster",
    "coverage",
    "dedupe",
    "demo",
    "doctor",
    "encode",
    "extract",
    "frames",
    "inspect",
    "merge",
    "new",
    "run",
    "sort",
    "train",
)
_HOMES = {
    "Cancel": "faceloom.core.events",
    "FaceloomError": "faceloom.core.errors",
    "NullProgress": "faceloom.core.events",
    "Progress": "faceloom.core.events",
    "Workspace": "faceloom.stages.workspace",
    **{f"{stage.capitalize()}Config": f"faceloom.stages.{stage}" for stage in _STAGES},
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

    module = import_module(f"faceloom.stages.{stage}")
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
    call.__doc__ = import_module(f"faceloom.stages.{stage}").run.__doc__
    return call


class _StagePackage(ModuleType):
    """A package that bears a stage's name (`faceloom.merge`), and so must be callable too."""

    def __call__(self, config: Any = None, **keywords: Any) -> Any:
        return _run_stage(self.__name__.rpartition(".")[2], config, **keywords)


class _Root(ModuleType):
    """`import faceloom.merge` sets that package as an attribute over the stage's function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _STAGES and isinstance(value, ModuleType):
            value.__class__ = _StagePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root
