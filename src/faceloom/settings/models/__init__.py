"""Settings of the model classes. Importing this loads no network and no torch."""

from typing import Final

from faceloom.core.registry import Registry
from faceloom.core.vocabulary import ModelClassName
from faceloom.settings.models.amp import AmpSettings
from faceloom.settings.models.archi import Archi, Ledger, ledger, parse_archi
from faceloom.settings.models.base import ModelFaceType, ModelSettings, SwapSettings
from faceloom.settings.models.patches import (
    check_patch_size,
    largest_patch_size,
    patch_step,
    patch_strides,
    receptive_field,
)
from faceloom.settings.models.quick96 import Quick96Settings
from faceloom.settings.models.saehd import SaehdSettings
from faceloom.settings.models.xseg import XsegSettings

MODEL_SETTINGS: Final[Registry[type[ModelSettings]]] = Registry(
    "model class",
    {
        "SAEHD": SaehdSettings,
        "AMP": AmpSettings,
        "Quick96": Quick96Settings,
        "XSeg": XsegSettings,
    },
)
"""The settings of each model class, by its name."""

__all__ = [
    "MODEL_SETTINGS",
    "AmpSettings",
    "Archi",
    "Ledger",
    "ModelClassName",
    "ModelFaceType",
    "ModelSettings",
    "Quick96Settings",
    "SaehdSettings",
    "SwapSettings",
    "XsegSettings",
    "check_patch_size",
    "largest_patch_size",
    "ledger",
    "parse_archi",
    "patch_step",
    "patch_strides",
    "receptive_field",
]
