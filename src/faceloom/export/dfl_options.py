"""DeepFaceLab's options and our settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from faceloom.core import FormatError, InputError
from faceloom.core.config import validate
from faceloom.core.vocabulary import SHORT
from faceloom.models import MODELS, ModelSettings

OWN_KEY = "faceloom"
"""The key of our settings in a `data.dat`; DFL ignores it and drops it at its next save."""

_SHORT_FACE_TYPE = {long: short for short, long in SHORT.items()}
_RENAMED_ARCHIS = {"dfuhd": "df-u", "liaeuhd": "liae-u"}
_DEAD_ARCHIS = frozenset({"dfhd", "liaehd", "liaech"})

_OF_THE_RUN = frozenset({"autobackup_hour", "write_preview_history"})
"""DFL's options of a training run, not of the model."""
_ALIKE = (
    "target_iter",
    "random_src_flip",
    "random_dst_flip",
    "batch_size",
    "resolution",
    "face_type",
    "archi",
    "ae_dims",
    "inter_dims",
    "e_dims",
    "d_dims",
    "d_mask_dims",
    "morph_factor",
    "masked_training",
    "eyes_mouth_prio",
    "uniform_yaw",
    "blur_out_mask",
    "models_opt_on_gpu",
    "lr_dropout",
    "random_warp",
    "random_hsv_power",
    "gan_power",
    "gan_patch_size",
    "gan_dims",
    "true_face_power",
    "face_style_power",
    "bg_style_power",
    "ct_mode",
    "clipgrad",
    "pretrain",
)
"""Options with the same name in DFL and here."""
_KNOWN: Mapping[str, frozenset[str]] = {
    "SAEHD": frozenset(_ALIKE) - {"inter_dims", "morph_factor"},
    "AMP": frozenset(_ALIKE)
    - {"archi", "masked_training", "eyes_mouth_prio", "random_hsv_power", "true_face_power"}
    - {"face_style_power", "bg_style_power", "pretrain"},
    "Quick96": frozenset({"target_iter", "batch_size"}),
    "XSeg": frozenset({"face_type", "batch_size", "pretrain"}),
}
"""Which of these each of DFL's classes has."""
_DFL_WAYS: Mapping[str, Any] = {"ct_statistics": "whole"}
"""DFL's behaviour where it has no option and differs from our default."""


def settings_from_options(
    class_name: str, options: Mapping[Any, Any], evident: Mapping[str, Any], *, where: str
) -> tuple[ModelSettings, list[str]]:
    """Our settings for a model with DFL's `options`, and notes on what could not be imported.

    A missing option has the value in `evident`, our settings that follow from the model's files, or
    else DFL's default. Raises `FormatError` for an architecture that DFL itself cannot load any
    more, `InputError` naming `where` for invalid values.
    """
    kind = MODELS[class_name].settings
    plain = {str(key): _plain(value) for key, value in options.items()}
    if "random_flip" in plain:  # one option for both sides, until March 2021
        flip = plain.pop("random_flip")
        plain.setdefault("random_src_flip", flip)
        plain.setdefault("random_dst_flip", flip)
    notes: list[str] = []
    known = {**_DFL_WAYS, **evident}
    values = {key: value for key, value in known.items() if key in kind.model_fields}
    for key in sorted(_KNOWN[class_name] & kind.model_fields.keys() & plain.keys()):
        values[key] = plain[key]
    if "adabelief" in plain and "optimizer" in kind.model_fields:
        values["optimizer"] = "adabelief" if plain["adabelief"] else "rmsprop"
    _translate(values, where)
    for key in values.keys() - set(kind.structural):
        values[key] = _bounded(kind, key, values[key], notes)
    foreign = plain.keys() - values.keys() - _OF_THE_RUN - {"adabelief"}
    if foreign:
        notes.append(f"ignored options that Faceloom does not have: {', '.join(sorted(foreign))}")
    return validate(kind, values, where=where), notes


def options_from_settings(settings: ModelSettings, class_name: str) -> dict[str, Any]:
    """DFL's options for a model with our `settings`."""
    options: dict[str, Any] = {"autobackup_hour": 0, "write_preview_history": False}
    ours = settings.model_dump()
    for key in _ALIKE:
        if key in _KNOWN[class_name] and key in ours:
            options[key] = ours[key]
    if "face_type" in options:
        options["face_type"] = _SHORT_FACE_TYPE[options["face_type"]]
    # An unset value here follows from other settings; DFL stores the number.
    for key, name in (("d_mask_dims", "mask_dims"), ("gan_patch_size", "patch_size")):
        if key in options and options[key] is None:
            options[key] = getattr(settings, name)
    if "optimizer" in ours and class_name == "SAEHD":
        options["adabelief"] = ours["optimizer"] == "adabelief"
    return options


def own_record(settings: ModelSettings, seed: int) -> dict[str, Any]:
    """What DFL's options cannot express, for `OWN_KEY`."""
    return {"settings": settings.model_dump(mode="json"), "seed": seed}


def read_own_record(
    class_name: str, record: Any, options: Mapping[Any, Any]
) -> tuple[ModelSettings, int] | None:
    """Settings and seed of a model that we exported, if DFL has not changed its options since."""
    if not isinstance(record, dict) or not isinstance(record.get("settings"), dict):
        return None
    try:
        settings = validate(MODELS[class_name].settings, record["settings"], where=OWN_KEY)
    except InputError:
        return None
    seed = record.get("seed")
    stored = {key: _plain(value) for key, value in options.items()}
    unchanged = options_from_settings(settings, class_name) == stored
    return (settings, seed) if unchanged and type(seed) is int else None


def lost_settings(settings: ModelSettings, class_name: str) -> list[str]:
    """The settings without an option in DFL whose value is not the default, or not DFL's behaviour
    where that differs."""
    known = _KNOWN[class_name] | ({"optimizer"} if class_name == "SAEHD" else set())
    if getattr(settings, "ct_mode", "none") == "none":
        known |= {"ct_statistics"}  # without effect
    return [
        key
        for key, field in type(settings).model_fields.items()
        if key not in known and getattr(settings, key) != _DFL_WAYS.get(key, field.default)
    ]


def _plain(value: Any) -> Any:
    """A value without NumPy's types, which DFL's options may contain."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.item() if value.size == 1 else None
    return value


def _translate(values: dict[str, Any], where: str) -> None:
    """Replace old spellings with current ones, in place."""
    if type(values.get("lr_dropout")) is bool:
        values["lr_dropout"] = "y" if values["lr_dropout"] else "n"
    if "archi" in values:
        archi = str(values["archi"]).lower()
        if archi in _DEAD_ARCHIS:
            raise FormatError(
                f"{where}: archi {archi} is from before June 2020; later versions of DeepFaceLab"
                " cannot load its networks either"
            )
        values["archi"] = _RENAMED_ARCHIS.get(archi, archi)
        if values["archi"].startswith("liae"):
            values.pop("true_face_power", None)  # DFL ignores it, too
    if not values.get("gan_power"):
        # DFL asks for it only with a discriminator, so the value may not even fit the resolution.
        values.pop("gan_patch_size", None)


def _bounded(kind: type[ModelSettings], key: str, value: Any, notes: list[str]) -> Any:
    """A number clamped to its setting's range: DFL documents ranges, but enforces few."""
    if type(value) not in (int, float):
        return value
    for bound in kind.model_fields[key].metadata:
        least, most = getattr(bound, "ge", None), getattr(bound, "le", None)
        nearest = value
        if least is not None:
            nearest = max(nearest, least)
        if most is not None:
            nearest = min(nearest, most)
        if nearest != value:
            notes.append(f"{key} {value} changed to {nearest}")
            return nearest
    return value
