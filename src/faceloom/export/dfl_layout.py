"""DeepFaceLab's tensor names and layouts.

In DFL, convolutions are HWIO (transposed ones HWOI), dense weights (in, out), colours BGR. Nothing
else differs: our upscales use DFL's order of channels, and vectors are flattened alike. Names and
layouts are described in docs/internals/formats.md.
"""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from faceloom.core import FormatError
from faceloom.export.dfl_files import Array

SLOT_NAMES = {"m": "ms", "s": "vs", "a": "acc"}
"""Our names of an optimizer's slots → DFL's."""

_SCOPES = {("SAEHD", "GAN"): "D_src", ("SAEHD", "code_discriminator"): "dis"}
_COLOUR_INPUTS = {
    "encoder": ("down1.conv1.weight", "down1.downs.0.conv1.weight"),
    "GAN": ("in_conv.weight",),
    "xseg": ("conv01.conv.weight",),
}
_IMAGE_HEAD = re.compile(r"out_conv[123]?\.(weight|bias)")


def dfl_name(key: str) -> str:
    """DFL's name of a tensor in a network's file: `down1.downs.0.conv1.weight` →
    `down1/downs_0/conv1/weight:0`."""
    return re.sub(r"\.(\d+)\.", r"_\1.", key).replace(".", "/") + ":0"


def slot_name(slot: str, network: str, key: str, class_name: str) -> str:
    """DFL's name of an optimizer's `slot` for a tensor: `ms_encoder/down1/conv1/weight_0:0`."""
    scope = "XSeg" if class_name == "XSeg" else _SCOPES.get((class_name, network), network)
    return f"{SLOT_NAMES[slot]}_{scope}/{dfl_name(key).replace(':', '_')}:0"


def colour_axis(network: str, key: str) -> int | None:
    """The colour axis of a tensor: input channels of the first convolution on a picture, output
    channels of the layers that make one; None for all others."""
    if key in _COLOUR_INPUTS.get(network, ()):
        return 1
    if network.startswith("decoder") and _IMAGE_HEAD.fullmatch(key):
        return 0
    return None


def to_dfl(network: str, key: str, tensor: Tensor) -> Array:
    """One of our tensors, float32, in DFL's layout; a view where possible."""
    array = tensor.detach().to("cpu", torch.float32).numpy()
    axis = colour_axis(network, key)
    if axis is not None:
        array = np.flip(array, axis)
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 else array


@torch.no_grad()
def copy_from_dfl(array: Array, target: Tensor, *, network: str, key: str, where: str) -> None:
    """Copy one of DFL's tensors into `target`, in place, on any device and with any strides.

    Raises `FormatError` naming `where` when the shape differs, or a number is not finite, which
    means that the model has collapsed.
    """
    ours = array
    if array.ndim == 4:
        ours = array.transpose(3, 2, 0, 1)
    elif array.ndim == 2:
        ours = array.T
    if array.ndim < 2 and array.size == target.numel() and target.ndim < 2:
        ours = array.reshape(tuple(target.shape))
    if ours.shape != tuple(target.shape):
        raise FormatError(
            f"{where}: {dfl_name(key)} has shape {array.shape}, but the model's options require"
            f" {to_dfl(network, key, target).shape}"
        )
    axis = colour_axis(network, key)
    if axis is not None:
        ours = np.flip(ours, axis)
    target.copy_(torch.from_numpy(np.array(ours, np.float32, order="C")))
    if not torch.isfinite(target).all():
        raise FormatError(
            f"{where}: {dfl_name(key)} contains NaN or infinity: the model has collapsed; use a"
            " backup"
        )
