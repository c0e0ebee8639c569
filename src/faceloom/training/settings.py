"""A model's settings at its start, and which of them may change later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from faceloom.checkpoints.state import ModelState, saved_settings
from faceloom.core import InputError
from faceloom.core.config import validate_with
from faceloom.models import MODELS, ModelSettings

# The effective value of a structural setting that can be unset.
_EFFECTIVE: Final = {"d_mask_dims": "mask_dims"}


def first_settings(
    class_name: str, values: Mapping[str, Any], overrides: Iterable[str] = ()
) -> ModelSettings:
    """The settings of a new model: defaults, then `values`, then `key=value` texts.

    `foreign_settings` among `values` are ignored. Raises `InputError` for an unknown class or key,
    or an invalid value.
    """
    kind = MODELS[class_name].settings
    own = _own(class_name, values)
    return validate_with(kind, own, overrides, where=f"{class_name} settings")


def foreign_settings(class_name: str, values: Mapping[str, Any]) -> list[str]:
    """The keys among `values` that are for other model classes, since one file may serve several.

    These are settings that only another class has, and those that this class has fixed. A key that
    no class knows is not one of them.
    """
    kind = MODELS[class_name].settings
    known = {key for name in MODELS for key in MODELS[name].settings.model_fields}
    return [
        key
        for key in values
        if key in kind.fixed or (key in known and key not in kind.model_fields)
    ]


def _own(class_name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    foreign = foreign_settings(class_name, values)
    return {key: value for key, value in values.items() if key not in foreign}


def changed_settings(
    state: ModelState,
    values: Mapping[str, Any],
    overrides: Iterable[str] = (),
    *,
    where: Path,
) -> ModelSettings:
    """A saved model's settings with changes applied; `foreign_settings` are ignored.

    Raises `InputError` for a change of the architecture, because the weights would no longer fit.
    """
    saved = saved_settings(state, where=where)
    merged = {**saved.model_dump(), **_own(state.class_name, values)}
    where_from = f"{state.class_name} settings"
    changed = validate_with(type(saved), merged, overrides, where=where_from)
    for key in type(saved).structural:
        before, after = getattr(saved, key), getattr(changed, key)
        effective = _EFFECTIVE.get(key, key)
        if before != after and getattr(saved, effective) != getattr(changed, effective):
            raise InputError(
                f"{where.parent.name}: {key} is {before} and cannot change to {after} after the"
                " first iteration; omit it, or start another model with --name"
            )
    return changed
