"""Model classes by name, and how one is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from faceloom.core import InputError, Registry
from faceloom.models.amp import build_amp
from faceloom.models.base import Precision, TrainableModel
from faceloom.models.quick96 import build_quick96
from faceloom.models.saehd import build_saehd
from faceloom.models.xseg import build_xseg
from faceloom.settings.models import (
    AmpSettings,
    ModelSettings,
    Quick96Settings,
    SaehdSettings,
    XsegSettings,
)


@dataclass(frozen=True)
class ModelClass:
    """One kind of model: its settings and its builder."""

    settings: type[ModelSettings]
    build: Callable[..., TrainableModel]
    losses: tuple[str, ...] = ("src", "dst")
    """Names of what its training step returns: the columns of its history."""


MODELS: Registry[ModelClass] = Registry(
    "model class",
    {
        "AMP": ModelClass(AmpSettings, build_amp),
        "SAEHD": ModelClass(SaehdSettings, build_saehd),
        "Quick96": ModelClass(Quick96Settings, build_quick96),
        "XSeg": ModelClass(XsegSettings, build_xseg, losses=("mask",)),
    },
)


def build_model(
    class_name: str,
    settings: ModelSettings,
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
    precision: Precision = "fp32",
    compiled: bool = False,
) -> TrainableModel:
    """A freshly initialised model of `class_name`, a key of `MODELS`.

    The same `seed` gives the same weights on every device. `precision="bf16"` computes the
    networks in bfloat16 on channels-last pictures; weights, losses and optimizer stay float32.
    `compiled` turns the losses of a training step into compiled graphs, on a GPU replayed without
    work for the host: the first step then takes a minute, and another batch size compiles anew.
    Raises `InputError` on an unknown class or the settings of another one.
    """
    kind = MODELS[class_name]
    if not isinstance(settings, kind.settings):
        raise InputError(
            f"{class_name} takes {kind.settings.__name__}, not {type(settings).__name__}"
        )
    arguments: dict[str, Any] = {
        "device": torch.device(device),
        "seed": seed,
        "precision": precision,
        "compiled": compiled,
    }
    return kind.build(settings, **arguments)


def preferred_precision(device: torch.device | str) -> Precision:
    """bf16 where `device` computes it in hardware, else fp32."""
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if kind == "cpu":
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
    return "fp32"
