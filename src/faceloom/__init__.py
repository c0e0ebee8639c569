"""Faceloom: train a face swap for exactly one consenting pair, and label the result.

The stages of the command line are functions here. Each takes its configuration, or the
configuration's fields as keywords, and returns what the stage made:

    from faceloom import TrainConfig, extract, train

    extract(workspace="cast", side="src")
    train(TrainConfig(workspace="cast", iterations=5000), progress=my_progress)

Every name is loaded when it is first used, so `import faceloom` is cheap. Their types are in
`__init__.pyi`, which `scripts/api_stub.py` writes from the catalog of stages.
"""

from __future__ import annotations

import inspect as _inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from faceloom.stages.catalog import STAGES, Stage

_MODULES = {
    "core.errors": (
        *("CancelledError", "FaceloomError", "FormatError", "InputError", "MediaError"),
        *("ModelError", "RightsError", "UsageError", "WeightsError"),
    ),
    "core.events": ("Cancel", "NullProgress", "Progress"),
    "core.result": ("Result",),
    "workspace.layout": ("Workspace",),
    "settings.models": ("AmpSettings", "Quick96Settings", "SaehdSettings", "XsegSettings"),
    "models.base": ("FaceModel", "MaskBatch", "MaskModel", "Prediction", "SampleBatch"),
    "models.build": ("build_model",),
    "checkpoints.folder": ("find_model",),
    "checkpoints.state": ("load_model",),
    "export": ("make_dfm", "make_xseg_onnx"),
}
HOMES = {name: f"faceloom.{module}" for module, names in _MODULES.items() for name in names}
_FUNCTIONS = {stage.python_name: stage for stage in STAGES}
_CONFIGS = {stage.config.partition(":")[2]: stage for stage in STAGES}


def __getattr__(name: str) -> Any:
    value = _find(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*HOMES, *_FUNCTIONS, *_CONFIGS, "__version__"})


def _find(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("faceloom")
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    if name in _FUNCTIONS:
        return _stage_function(_FUNCTIONS[name])
    if name in _CONFIGS:
        return _CONFIGS[name].settings()
    if name[0].isupper():
        # A result. The stage of the same name first, since to ask each would load all of them.
        likely = name.removesuffix("Result") + "Config"
        for stage in sorted(STAGES, key=lambda one: not one.config.endswith(f":{likely}")):
            for result in stage.results():
                if result.__name__ == name:
                    return result
    raise AttributeError(f"module 'faceloom' has no attribute {name!r}")


def _stage_function(stage: Stage) -> Callable[..., Any]:
    """The stage as a function of its configuration, or of the configuration's fields."""
    from faceloom.core.config import validate
    from faceloom.core.events import Cancel, NullProgress

    kind, name = stage.settings(), stage.python_name

    def call(config: Any = None, *, progress: Any = None, cancel: Any = None, **fields: Any) -> Any:
        if config is None:
            config = validate(kind, fields, where=name)
        elif fields:
            raise TypeError(f"{name}() takes a configuration or its fields, not both")
        return stage.function()(
            config, progress=progress or NullProgress(), cancel=cancel or Cancel()
        )

    call.__name__ = call.__qualname__ = name
    call.__module__ = __name__
    call.__doc__ = kind.__doc__
    given = _inspect.signature(call).parameters
    kind.model_rebuild()
    fields = _inspect.signature(kind).parameters.values()
    call.__signature__ = _inspect.Signature(  # type: ignore[attr-defined]
        [given["config"], *fields, given["progress"], given["cancel"]]
    )
    return call
