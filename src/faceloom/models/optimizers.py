"""The optimizer that a model's settings ask for (reference: training.md 2.7)."""

from __future__ import annotations

from typing import Final

from torch import nn
from torch.optim import Optimizer

from faceloom.nn import AdaBelief, RMSprop
from faceloom.settings.models import AmpSettings, SaehdSettings

CLIP_NORM: Final = 1.0
KEEP: Final = 0.3
COSINE_PERIOD: Final = 500


def chosen_optimizer(
    params: list[nn.Parameter], seed: int, *, settings: SaehdSettings | AmpSettings
) -> Optimizer:
    """SAEHD's or AMP's optimizer over `params`; AMP has no choice but AdaBelief."""
    rmsprop = isinstance(settings, SaehdSettings) and settings.optimizer == "rmsprop"
    dropping = settings.lr_dropout != "n"
    return (RMSprop if rmsprop else AdaBelief)(
        params,
        lr=settings.learning_rate,
        clip_norm=CLIP_NORM if settings.clipgrad else None,
        keep=KEEP if dropping else None,
        period=COSINE_PERIOD if dropping else 0,
        masks_on_cpu=settings.lr_dropout == "cpu",
        seed=seed,
        offload=not settings.models_opt_on_gpu,
    )
