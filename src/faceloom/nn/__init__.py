"""Blocks, losses and optimizers of the networks that are trained: functions of tensors only."""

from faceloom.nn.blocks import (
    Activation,
    Downscale,
    DownscaleStack,
    ResidualBlock,
    Upscale,
    activate,
    conv,
    convolve,
    dense,
    depth_to_space,
    initialize,
    pixel_norm,
)
from faceloom.nn.losses import (
    absolute_error,
    bce_logits,
    blur_outside,
    blurred_mask,
    dssim,
    dssim_windows,
    gaussian_blur,
    mask_weight,
    squared_error,
    structural_loss,
    style_loss,
    total_variation,
)
from faceloom.nn.memory import kept_memory
from faceloom.nn.optim import AdaBelief, RMSprop
from faceloom.nn.recompute import recomputed

__all__ = [
    "Activation",
    "AdaBelief",
    "Downscale",
    "DownscaleStack",
    "RMSprop",
    "ResidualBlock",
    "Upscale",
    "absolute_error",
    "activate",
    "bce_logits",
    "blur_outside",
    "blurred_mask",
    "conv",
    "convolve",
    "dense",
    "depth_to_space",
    "dssim",
    "dssim_windows",
    "gaussian_blur",
    "initialize",
    "kept_memory",
    "mask_weight",
    "pixel_norm",
    "recomputed",
    "squared_error",
    "structural_loss",
    "style_loss",
    "total_variation",
]
