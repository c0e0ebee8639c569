"""Architecture names, legal settings, what is said of illegal ones (training.md 1.8, 2.1)."""

from __future__ import annotations

import subprocess
import sys
from itertools import permutations
from typing import Any

import pytest

from faceloom.core import InputError
from faceloom.core.config import validate, validate_with
from faceloom.models import MODELS
from faceloom.settings.models import (
    MODEL_SETTINGS,
    AmpSettings,
    Archi,
    Quick96Settings,
    SaehdSettings,
    XsegSettings,
    parse_archi,
)


def test_every_flag_combination_in_every_order() -> None:
    for kind in ("df", "liae"):
        assert parse_archi(kind) == Archi(kind)
        for count in range(1, 5):
            for flags in permutations("udtc", count):
                archi = parse_archi(f"{kind}-{''.join(flags)}".upper())
                assert archi == Archi(kind, **dict.fromkeys(flags, True))
                assert parse_archi(archi.name) == archi


@pytest.mark.parametrize("name", ["", "dfhd", "df-", "liae-x", "df-uu", "df ud", "amp"])
def test_bad_archi(name: str) -> None:
    with pytest.raises(InputError, match="archi"):
        parse_archi(name)


def test_defaults_are_the_references() -> None:
    settings = SaehdSettings()
    assert settings.archi == "liae-ud"
    assert (settings.ae_dims, settings.e_dims, settings.d_dims) == (256, 64, 64)
    assert settings.mask_dims == 22
    assert settings.learning_rate == 5e-5
    assert SaehdSettings(d_dims=96).mask_dims == 32
    assert SaehdSettings(d_dims=16).mask_dims == 16
    assert SaehdSettings(d_mask_dims=48).mask_dims == 48


@pytest.mark.parametrize(
    ("short", "name"),
    [("h", "half_face"), ("MF", "midfull_face"), ("wf", "whole_face"), ("head", "head")],
)
def test_face_type_words(short: str, name: str) -> None:
    settings = validate(SaehdSettings, {"face_type": short}, where="test")
    assert settings.face_type == name
    assert SaehdSettings.model_validate({"face_type": name}).face_type == name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"resolution": 80, "archi": "df-t"}, "multiple of 32.*flag t.*64 or 96"),
        ({"resolution": 112, "archi": "liae-ud"}, "multiple of 32.*flag d.*96 or 128"),
        ({"resolution": 100, "archi": "df"}, "multiple of 16.*96 or 112"),
        ({"resolution": 48}, "at least 64"),
        ({"resolution": 672}, "at most 640"),
        ({"ae_dims": 2000}, "at most 1024"),
        ({"e_dims": 17}, "e_dims 17 is odd.*use 18"),
        ({"d_mask_dims": 21}, "d_mask_dims 21 is odd"),
        ({"d_dims": 14}, "at least 16"),
        ({"archi": "liae-uq"}, "expected df or liae"),
        ({"face_type": "nose"}, "half_face"),
        ({"batch_size": 0}, "at least 1"),
        ({"lr_dropout": "maybe"}, "must be n, y or cpu"),
        ({"gan_powder": 0.1}, "unknown setting 'gan_powder'"),
    ],
)
def test_illegal_settings_say_why(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        validate(SaehdSettings, values, where="test")


def test_resolutions_that_only_some_archis_take() -> None:
    assert SaehdSettings(resolution=80, archi="df-uc").resolution == 80
    assert SaehdSettings(resolution=96, archi="liae-udtc").resolution == 96


def test_overrides_from_the_command_line() -> None:
    texts = ["archi=DF-DU", "resolution=160", "clipgrad=true", "lr_dropout=y"]
    settings = validate_with(SaehdSettings, {}, texts, where="test")
    assert settings.archi == "df-ud"
    assert (settings.resolution, settings.clipgrad, settings.lr_dropout) == (160, True, "y")


def test_quick96_is_fixed() -> None:
    assert Quick96Settings().resolution == 96
    for values in ({"resolution": 128}, {"face_type": "wf"}, {"archi": "df"}):
        with pytest.raises(InputError):
            validate(Quick96Settings, values, where="test")


def test_every_setting_is_documented_and_structural_names_exist() -> None:
    for name in MODELS:
        kind = MODELS[name].settings
        for key, field in kind.model_fields.items():
            assert field.description, f"{name}.{key} has no docstring"
        assert set(kind.structural) <= set(kind.model_fields)


def test_the_table_of_settings_is_that_of_the_models() -> None:
    assert {name: MODEL_SETTINGS[name] for name in MODEL_SETTINGS} == {
        name: MODELS[name].settings for name in MODELS
    }


def test_settings_load_no_engine() -> None:
    code = (
        "import sys, faceloom.settings.models\n"
        "print([name for name in ('torch', 'numpy', 'cv2', 'av') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (SaehdSettings, {"adabelief": True}, {"optimizer": "adabelief"}),
        (SaehdSettings, {"adabelief": "false"}, {"optimizer": "rmsprop"}),
        (SaehdSettings, {"adabelief": "n"}, {"optimizer": "rmsprop"}),
        (SaehdSettings, {"lr_dropout": True}, {"lr_dropout": "y"}),
        (SaehdSettings, {"lr_dropout": False}, {"lr_dropout": "n"}),
        (AmpSettings, {"batchsize": 6, "lr": 1e-4}, {"batch_size": 6, "learning_rate": 1e-4}),
        (XsegSettings, {"face_type": "HEAD"}, {"face_type": "head"}),
    ],
)
def test_deepfacelabs_names(
    kind: type[Any], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    settings = validate(kind, given, where="test")
    assert {key: getattr(settings, key) for key in expected} == expected


def test_a_later_alias_wins_over_the_setting() -> None:
    """As on the command line, where `--set` comes after the saved settings."""
    saved = SaehdSettings(optimizer="adabelief").model_dump()
    assert (
        validate_with(SaehdSettings, saved, ["adabelief=no"], where="test").optimizer == "rmsprop"
    )
